// SPDX-License-Identifier: Apache-2.0
#include "experiments/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ostream>

#include "experiments/text.hpp"

namespace experiments {
namespace {

constexpr int kBarWidth = 24;

std::string two_digits(long value) {
  return (value < 10 ? "0" : "") + std::to_string(value);
}

std::string bar(int done, int total) {
  const int filled = total > 0 ? kBarWidth * done / total : kBarWidth;
  std::string text;
  for (int i = 0; i < kBarWidth; ++i) text += i < filled ? "█" : "░";
  return text;
}

std::size_t terminal_width() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

std::string clock_text(double seconds) {
  const long whole = std::lround(std::max(0.0, seconds));
  const long hours = whole / 3600;
  const long minutes = whole / 60 % 60;
  const std::string tail = ":" + two_digits(whole % 60);
  if (hours == 0) return std::to_string(minutes) + tail;
  return std::to_string(hours) + ":" + two_digits(minutes) + tail;
}

Progress::Progress(std::ostream& out, bool terminal, int total)
    : out_(out), terminal_(terminal), total_(total) {}

Progress::~Progress() {
  if (terminal_) clear();
}

void Progress::begin(const std::string& what) {
  what_ = what;
  if (terminal_) draw();
}

void Progress::done(const std::string& result) {
  ++done_;
  if (terminal_) {
    draw();
  } else {
    out_ << '[' << done_ << '/' << total_ << "] " << what_ << ": " << result << std::endl;
  }
}

void Progress::draw() {
  std::string line =
      bar(done_, total_) + ' ' + std::to_string(done_) + '/' + std::to_string(total_);
  if (done_ > 0 && done_ < total_) {
    const double elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    line += "  " + clock_text(elapsed / done_ * (total_ - done_)) + " left";
  }
  const std::size_t used = display_width(line) + 3;  // two spaces, and the last column stays free
  const std::size_t width = std::max(terminal_width(), used + 3);
  clear();
  out_ << line << "  " << elide(what_, width - used) << std::flush;
}

void Progress::clear() {
  out_ << "\r\033[K" << std::flush;
}

}  // namespace experiments
