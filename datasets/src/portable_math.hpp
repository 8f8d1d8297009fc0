// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace masks {

// Logarithm and exponential that give the same bits on every platform. libm's may differ in the
// last place between systems, and a document one token longer here than there would be another
// mask. These use only the operations that IEEE 754 rounds exactly (+ - * /), in a fixed order,
// and are compiled without contraction to fused multiply-adds. Both are accurate to about 2 units
// in the last place.

/// Natural logarithm of a positive, finite, normal number.
[[nodiscard]] double portable_log(double x) noexcept;

/// log(1 + x) for -1 < x, accurate near 0 as well.
[[nodiscard]] double portable_log1p(double x) noexcept;

/// e to the power x; infinity above the range of double, 0 below.
[[nodiscard]] double portable_exp(double x) noexcept;

}  // namespace masks
