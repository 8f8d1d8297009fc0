// SPDX-License-Identifier: Apache-2.0
#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace attn {
namespace {

using Body = std::function<void(std::int64_t, int)>;

/// One parallel_for: indices to hand out, and seats for the threads that want to help.
struct Job {
  Job(const Body& work, std::int64_t end, int threads)
      : body(work), count(end), seats(threads), failed_index(end) {}

  const Body& body;
  const std::int64_t count;
  const int seats;
  std::atomic<std::int64_t> next{0};

  // Guarded by the pool's mutex.
  int seated = 1;   // the caller has seat 0
  int helping = 0;  // helpers at work now
  std::condition_variable idle;
  std::int64_t failed_index;
  std::exception_ptr failure;

  void work(int seat, std::mutex& mutex) {
    for (;;) {
      const std::int64_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      try {
        body(index, seat);
      } catch (...) {
        next.store(count, std::memory_order_relaxed);
        const std::lock_guard lock(mutex);
        if (index < failed_index) {
          failed_index = index;
          failure = std::current_exception();
        }
      }
    }
  }
};

class Pool {
 public:
  static Pool& instance() {
    static Pool pool;
    return pool;
  }

  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  void run(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(helpers_.size()) < job.seats - 1) {
        helpers_.emplace_back([this] { help(); });
      }
      jobs_.push_back(&job);
    }
    for (int seat = 1; seat < job.seats; ++seat) wake_.notify_one();
    job.work(0, mutex_);

    std::unique_lock lock(mutex_);
    std::erase(jobs_, &job);  // the indices are all handed out: nobody need join any more
    job.idle.wait(lock, [&] { return job.helping == 0; });
    if (job.failure) std::rethrow_exception(job.failure);
  }

 private:
  void help() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return closing_ || !jobs_.empty(); });
      if (closing_) return;
      Job& job = *jobs_.front();
      const int seat = job.seated++;
      if (job.seated == job.seats) jobs_.pop_front();
      ++job.helping;
      lock.unlock();
      job.work(seat, mutex_);
      lock.lock();
      if (--job.helping == 0) job.idle.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job*> jobs_;  // those with a free seat
  std::vector<std::thread> helpers_;
  bool closing_ = false;
};

}  // namespace

int thread_count(int wish) noexcept {
  if (wish > 0) return wish;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void parallel_for(int threads, std::int64_t count, const Body& body) {
  threads = static_cast<int>(std::min<std::int64_t>(thread_count(threads), count));
  if (threads <= 1) {
    for (std::int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  Job job(body, count, threads);
  Pool::instance().run(job);
}

}  // namespace attn
