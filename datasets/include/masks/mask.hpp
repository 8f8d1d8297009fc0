// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "reorder/csr.hpp"
#include "reorder/spec.hpp"

namespace masks {

/// An attention mask: which keys (columns) each query (row) may see.
struct Mask {
  reorder::Csr pattern;
  std::string name;  ///< canonical text that makes it again, "longformer(n=4096)|shuffle(seed=1)"
  std::string note;  ///< what a record must say of it, e.g. that lengths were drawn; may be empty
};

struct GeneratorInfo {
  std::string name;
  std::string summary;
  std::string citation;
  std::vector<reorder::ParamSpec> params;
  bool is_modifier = false;  ///< stands after a generator or a file: "causal|shuffle"
};

/// The generators of generators.def, then the modifiers (`shuffle`, `transpose`).
[[nodiscard]] const std::vector<GeneratorInfo>& generators();

/// Makes a mask from text: a generator or a file, then modifiers.
///
///     longformer(n=4096,window=256,globals=64)|shuffle(seed=3)
///     peer:docs_mean1024
///     path/to/mask.mtx | path/to/mask.npz | path/to/mask.npy, with modifiers as well
///
/// The same text gives the same mask on every platform. Throws reorder::Error: unknown_name (with
/// the nearest), syntax, invalid_argument, too_large, bad_file.
[[nodiscard]] Mask make(std::string_view text);

/// The file that a mask's text begins with, or "" where a generator makes the mask.
[[nodiscard]] std::string source_file(std::string_view text);

/// Throws what `make` would throw for the names and parameters in the text, or for a file that
/// cannot be opened, and makes nothing. What only the making finds is left to it.
void check(std::string_view text);

/// Reads Matrix Market (.mtx, .mtx.gz), a scipy CSR archive (.npz) or a dense 2-d array (.npy),
/// by the file's ending. Values are ignored, but for explicit zeros of a .npy. Throws
/// Error{bad_file} with path:line, or the path and what is wrong.
[[nodiscard]] reorder::Csr read(const std::filesystem::path& file);

/// Throws Error{bad_file} where `read` and `write` do not know the ending of the file's name.
void check_ending(const std::filesystem::path& file);

/// Writes by the file's ending, through a temporary file that is renamed when it is whole: a full
/// disk leaves an older file as it was. Throws Error{bad_file}.
void write(const std::filesystem::path& file, const reorder::CsrView& pattern);

}  // namespace masks
