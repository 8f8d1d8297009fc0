// SPDX-License-Identifier: Apache-2.0
#include "strategies/metis_parts.hpp"

namespace reorder {

StrategyPtr make_metis_rb() {
  return make_metis_parts("metis_rb",
                          "recursive bisection of A + Aᵀ by METIS, parts one after the other",
                          "Karypis and Kumar, SISC 20 (1998); METIS_PartGraphRecursive",
                          metis::Method::recursive_bisection);
}

}  // namespace reorder
