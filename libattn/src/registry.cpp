// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <cstring>
#include <new>

#include "attn/error.hpp"
#include "backends.hpp"

namespace attn {

std::span<const Backend* const> backends() {
  static const std::array list{
#define BACKEND(name) &name##_backend(),
#include "backends.def"
#undef BACKEND
  };
  return list;
}

const Backend& backend(std::string_view name) {
  std::string names;
  for (const Backend* candidate : backends()) {
    if (candidate->info().name == name) return *candidate;
    names += (names.empty() ? "" : ", ") + candidate->info().name;
  }
  throw Error(ErrorCode::unknown_name,
              "no backend is named '" + std::string(name) + "'; there are " + names);
}

namespace {

/// By the values of Algorithm.
constexpr std::array<std::string_view, 5> kAlgorithms = {"lists", "dense", "naive", "bbm",
                                                         "dense_bbm"};

}  // namespace

std::string_view to_string(Algorithm algorithm) noexcept {
  return kAlgorithms[static_cast<std::size_t>(algorithm)];
}

Algorithm parse_algorithm(std::string_view name) {
  std::string names;
  for (std::size_t i = 0; i < kAlgorithms.size(); ++i) {
    if (kAlgorithms[i] == name) return static_cast<Algorithm>(i);
    names += (i == 0 ? "" : ", ") + std::string(kAlgorithms[i]);
  }
  throw Error(ErrorCode::unknown_name,
              "no algorithm is named '" + std::string(name) + "'; there are " + names);
}

std::optional<std::string> Backend::supports(const BackwardArgs&, const BlockMask&) const {
  return "backend " + info().name + " has no backward pass";
}

std::unique_ptr<Plan> Backend::prepare(const DeviceBlockMask&, const PrepareOptions&) const {
  throw Error(ErrorCode::unsupported,
              "backend " + info().name + " takes masks from the host alone, not from a device");
}

std::unique_ptr<Plan> Backend::prepare(const SplitMask&, const PrepareOptions&) const {
  throw Error(ErrorCode::unsupported, "backend " + info().name + " does not run split masks");
}

std::unique_ptr<Plan> Backend::prepare(const GatheredMask&, const PrepareOptions&) const {
  throw Error(ErrorCode::unsupported, "backend " + info().name + " does not run gathered masks");
}

void Plan::backward(const BackwardArgs&) const {
  throw Error(ErrorCode::unsupported, "this backend has no backward pass");
}

std::size_t Plan::forward_workspace(const ForwardArgs&) const {
  return 0;
}

std::size_t Plan::backward_workspace(const BackwardArgs&) const {
  throw Error(ErrorCode::unsupported, "this backend has no backward pass");
}

std::int64_t Backend::rows_copied(std::span<const std::int32_t> order) const {
  return std::ssize(order);
}

Walk Backend::walk(TileShape tile, std::int64_t) const {
  return {tile, tile};
}

Buffer Backend::allocate(std::size_t bytes) const {
  constexpr std::align_val_t kAlignment{64};
  return {::operator new(bytes, kAlignment),
          [](void* memory) { ::operator delete(memory, kAlignment); }};
}

void Backend::copy_in(void* destination, const void* host_source, std::size_t bytes) const {
  if (bytes != 0) std::memcpy(destination, host_source, bytes);
}

void Backend::copy_out(void* host_destination, const void* source, std::size_t bytes) const {
  if (bytes != 0) std::memcpy(host_destination, source, bytes);
}

std::vector<double> Backend::time(const std::function<void()>& work, int samples) const {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (int i = 0; i < samples; ++i) {
    const auto start = Clock::now();
    work();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

}  // namespace attn
