// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "random.hpp"
#include "reorder/csr.hpp"

namespace masks {

/// A packed document: its tokens follow those of the document before. The first `prompt` tokens
/// see each other both ways; those after them see all before them and themselves.
struct Document {
  std::int32_t length = 0;
  std::int32_t prompt = 0;
};

/// Packs documents along the diagonal. Tokens after the last document are padding: they see nothing
/// and nothing sees them.
[[nodiscard]] reorder::Csr pack_documents(std::int32_t n, std::span<const Document> documents);

/// As pack_documents, but a token sees only its last `window` + 1 tokens (itself one of them) and
/// the document's first `sinks`.
[[nodiscard]] reorder::Csr pack_documents_with_sinks(std::int32_t n,
                                                     std::span<const Document> documents,
                                                     std::int32_t window, std::int32_t sinks);

/// Where each document begins, and where the last one ends.
[[nodiscard]] std::vector<std::int32_t> document_starts(std::span<const Document> documents);

/// Documents until n tokens are full, the last one cut; `length` draws one length.
template <class DrawLength>
[[nodiscard]] std::vector<Document> fill_with_documents(std::int32_t n, DrawLength&& length) {
  std::vector<Document> documents;
  for (std::int32_t left = n; left > 0;) {
    const double drawn = length();
    const auto whole = drawn < static_cast<double>(left) ? static_cast<std::int32_t>(drawn) : left;
    documents.push_back({whole, 0});
    left -= whole;
  }
  return documents;
}

}  // namespace masks
