// SPDX-License-Identifier: Apache-2.0
#include "strategies/metis_parts.hpp"

namespace reorder {

StrategyPtr make_metis_kway() {
  return make_metis_parts(
      "metis_kway", "k-way partition of A + Aᵀ by METIS, parts one after the other",
      "Karypis and Kumar, JPDC 48 (1998); METIS_PartGraphKway", metis::Method::kway);
}

}  // namespace reorder
