// SPDX-License-Identifier: Apache-2.0
#include "portable_math.hpp"

#include <cfloat>
#include <cmath>
#include <limits>

namespace masks {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "doubles must be evaluated as doubles, not with excess bits");
static_assert(std::numeric_limits<double>::is_iec559, "doubles must follow IEEE 754");

// log 2 in two parts: the first has so few bits that its product with an exponent is exact.
constexpr double kLog2High = 0x1.62e42feep-1;
constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
constexpr double kInverseLog2 = 0x1.71547652b82fep+0;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

/// log((1 + s) / (1 - s)) = 2 (s + s^3/3 + s^5/5 + ...); |s| <= 0.172 needs 12 terms.
double log_of_ratio(double s) noexcept {
  const double square = s * s;
  double sum = 0;
  for (int odd = 23; odd >= 3; odd -= 2) sum = (sum + 1.0 / odd) * square;
  return 2 * s + 2 * s * sum;
}

}  // namespace

double portable_log(double x) noexcept {
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);
  if (mantissa < kSqrtHalf) {
    mantissa *= 2;
    --exponent;
  }
  const double log_mantissa = log_of_ratio((mantissa - 1) / (mantissa + 1));
  return exponent * kLog2High + (exponent * kLog2Low + log_mantissa);
}

double portable_log1p(double x) noexcept {
  if (x < -0.25 || x > 0.25) return portable_log(1 + x);
  return log_of_ratio(x / (2 + x));
}

double portable_exp(double x) noexcept {
  if (x > 710) return std::numeric_limits<double>::infinity();
  if (x < -750) return 0;
  const double halvings = std::floor(x * kInverseLog2 + 0.5);
  const double rest = (x - halvings * kLog2High) - halvings * kLog2Low;
  double sum = 1;
  for (int k = 15; k >= 1; --k) sum = 1 + sum * rest / k;
  return std::ldexp(sum, static_cast<int>(halvings));
}

}  // namespace masks
