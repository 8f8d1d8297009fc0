// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "attn/backend.hpp"

namespace attn {

/// A backend on the host, which runs whatever validate lets pass.
class HostBackend : public Backend {
 public:
  const BackendInfo& info() const final { return info_; }

  std::optional<std::string> supports(const ForwardArgs&, const BlockMask&) const final {
    return std::nullopt;
  }
  std::optional<std::string> supports(const BackwardArgs&, const BlockMask&) const final {
    return std::nullopt;
  }

 protected:
  explicit HostBackend(BackendInfo info) : info_(std::move(info)) {}

 private:
  BackendInfo info_;
};

}  // namespace attn
