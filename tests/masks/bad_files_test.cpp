// SPDX-License-Identifier: Apache-2.0
//
// Files that are wrong in one way each, and what the error must say of them.
#include <gtest/gtest.h>
#include <zlib.h>

#include "archives.hpp"
#include "io/readers.hpp"
#include "masks/mask.hpp"
#include "patterns.hpp"
#include "reorder/error.hpp"
#include "temporary_folder.hpp"

namespace masks {
namespace {

/// The sentence of the bad_file error that `read` must throw.
template <class Read>
std::string error_of(Read&& read) {
  try {
    (void)read();
  } catch (const reorder::Error& error) {
    EXPECT_EQ(error.code(), reorder::ErrorCode::bad_file) << error.what();
    return error.what();
  }
  return "no error";
}

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << (text) << "\nshould say: " << (part)

// --- Matrix Market ---

struct BadText {
  std::string text;
  std::string part;
};

class BadMatrixMarket : public testing::TestWithParam<BadText> {};

TEST_P(BadMatrixMarket, IsRefusedWithLineAndReason) {
  EXPECT_CONTAINS(
      error_of([] { return read_matrix_market(*open_memory(GetParam().text, "a.mtx")); }),
      GetParam().part);
}

const std::string kHeader = "%%MatrixMarket matrix coordinate pattern general\n";
const std::string kReal = "%%MatrixMarket matrix coordinate real general\n";

INSTANTIATE_TEST_SUITE_P(
    Headers, BadMatrixMarket,
    testing::Values(
        BadText{"", "a.mtx: is empty"},
        BadText{"1 1 1\n1 1\n",
                "a.mtx:1: a Matrix Market file begins with %%MatrixMarket, not with '1 1 1'"},
        BadText{"%%MatrixMarket vector coordinate real general\n", "a.mtx:1: holds 'vector'"},
        BadText{"%%MatrixMarket matrix array real general\n1 1\n1\n",
                "a.mtx:1: is a dense 'array'"},
        BadText{"%%MatrixMarket matrix list real general\n", "unknown format 'list'"},
        BadText{"%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 0\n",
                "a.mtx:1: holds 'complex' values"},
        BadText{"%%MatrixMarket matrix coordinate quaternion general\n",
                "unknown values 'quaternion'"},
        BadText{"%%MatrixMarket matrix coordinate real hermitian\n",
                "unknown symmetry 'hermitian'"},
        BadText{"%%MatrixMarket matrix coordinate real\n", "unknown symmetry ''"},
        BadText{"%%MatrixMarket matrix coordinate \x01\x02 general\n", "unknown values '?"}));

INSTANTIATE_TEST_SUITE_P(
    Sizes, BadMatrixMarket,
    testing::Values(
        BadText{kHeader, "a.mtx: ends before the line with its sizes"},
        BadText{kHeader + "% nothing else\n\n", "ends before the line with its sizes"},
        BadText{kHeader + "2 x 1\n", "a.mtx:2: the number of columns should stand here, not 'x'"},
        BadText{kHeader + "2 2\n",
                "a.mtx:2: the number of entries should stand here, not the line's end"},
        BadText{kHeader + "2 2 1 1\n", "a.mtx:2: '1' follows the three sizes"},
        BadText{kHeader + "-2 2 1\n", "a.mtx:2: -2 rows; the limit is 2147483647"},
        BadText{kHeader + "2 2147483648 1\n",
                "a.mtx:2: 2147483648 columns; the limit is 2147483647"},
        BadText{kHeader + "2 2 99999999999999999999\n", "a.mtx:2: the number of entries should"},
        BadText{kHeader + "2 2 1000000000000\n1 1\n",
                "claims 1000000000000 entries, more than the file"},
        BadText{kHeader + "2147483647 2147483647 1\n1 1\n",
                "a.mtx:2: claims 2147483647 rows but has only 1"},
        BadText{"%%MatrixMarket matrix coordinate real symmetric\n2 3 0\n",
                "a.mtx:2: a symmetric matrix of 2 rows and 3 columns"}));

INSTANTIATE_TEST_SUITE_P(
    Entries, BadMatrixMarket,
    testing::Values(
        BadText{kHeader + "2 2 2\n1 1\n", "a.mtx:3: ends after 1 of 2 entries"},
        BadText{kHeader + "2 2 1\n1 1\n2 2\n", "a.mtx:4: has more entries than the 1 claimed"},
        BadText{kHeader + "2 2 1\n% c\n\n1 x\n", "a.mtx:5: a column should stand here, not 'x'"},
        BadText{kHeader + "2 2 1\n1\n", "a.mtx:3: a column should stand here, not the line's end"},
        BadText{kHeader + "2 2 1\n1 1 1\n", "a.mtx:3: '1' follows the entry"},
        BadText{kHeader + "2 2 1\n0 1\n", "a.mtx:3: row 0 is outside 1...2"},
        BadText{kHeader + "2 2 1\n1 3\n", "a.mtx:3: column 3 is outside 1...2"},
        BadText{kHeader + "2 2 1\n1 -1\n", "a.mtx:3: column -1 is outside 1...2"},
        BadText{kHeader + "2 2 1\n1.0 1\n", "a.mtx:3: a row should stand here, not '1.0'"},
        BadText{kHeader + "0 0 1\n1 1\n", "a.mtx:3: row 1 is outside 1...0"},
        BadText{kReal + "2 2 1\n1 1\n", "a.mtx:3: a value should stand here, not the line's end"},
        BadText{kReal + "2 2 1\n1 1 one\n", "a.mtx:3: a value should stand here, not 'one'"},
        BadText{kReal + "2 2 1\n1 1 1,5\n", "a.mtx:3: a value should stand here, not '1,5'"},
        BadText{kReal + "2 2 1\n1 1 1 0\n", "a.mtx:3: '0' follows the entry"},
        BadText{"%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n1 1 5\n",
                "a.mtx:3: a skew-symmetric matrix has no entry on the diagonal"},
        BadText{kHeader + "2 2 1\n" + std::string(2000000, ' ') + "1 1\n",
                "a.mtx:3: the line is longer"},
        BadText{kHeader + "2 2 1\n1 " + std::string(100, '7') + "\n", "7777...'"}));

TEST(BadGzip, IsRefused) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "a.mtx.gz";
  write(file, make("random(n=200,density=0.1)").pattern);
  const std::string whole = bytes_of(file);

  put_bytes(file, whole.substr(0, whole.size() / 2));
  EXPECT_CONTAINS(error_of([&] { return read(file); }), "the compressed data end too soon");
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 0x55);
  put_bytes(file, flipped);
  EXPECT_CONTAINS(error_of([&] { return read(file); }), "a.mtx.gz:");
  std::string wrong_crc = whole;
  wrong_crc[whole.size() - 8] = static_cast<char>(wrong_crc[whole.size() - 8] ^ 1);
  put_bytes(file, wrong_crc);
  EXPECT_CONTAINS(error_of([&] { return read(file); }), "damaged");
}

TEST(BadFile, MissingAndFolderAndEnding) {
  const TemporaryFolder folder;
  for (const char* name : {"none.mtx", "none.mtx.gz", "none.npz", "none.npy"}) {
    EXPECT_CONTAINS(error_of([&] { return read(folder / name); }), "No such file");
    std::filesystem::create_directory(folder / (std::string("folder-") + name));
    EXPECT_CONTAINS(error_of([&] { return read(folder / (std::string("folder-") + name)); }),
                    "is a folder, not a file");
  }
  EXPECT_CONTAINS(error_of([&] { return read(folder / "mask.csv"); }), "must end with .mtx");
}

// --- scipy ---

std::string npz_error(const std::string& bytes) {
  return error_of([&] { return read_scipy_npz(bytes, "a.npz"); });
}

TEST(BadNpz, NoArchive) {
  EXPECT_CONTAINS(npz_error(""), "a.npz: is no zip archive");
  EXPECT_CONTAINS(npz_error("hello"), "a.npz: is no zip archive");
  const std::string good = ScipyMatrix().npz();
  for (const std::size_t size : {good.size() - 1, good.size() / 2, std::size_t{30}}) {
    EXPECT_CONTAINS(npz_error(good.substr(0, size)), "cut off");
  }
  // The front is missing: everything is found where it is not.
  EXPECT_CONTAINS(npz_error(good.substr(100)), "zip archive");
}

TEST(BadNpz, EveryFlippedByteIsCaughtOrHarmless) {
  const std::string good = ScipyMatrix().npz();
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x41);
    try {
      const reorder::Csr pattern = read_scipy_npz(bytes, "a.npz");
      EXPECT_EQ(picture(pattern), (std::vector<std::string>{"x.x", ".x."})) << "byte " << at;
    } catch (const reorder::Error& error) {
      EXPECT_EQ(error.code(), reorder::ErrorCode::bad_file) << error.what();
    }
  }
}

TEST(BadNpz, Members) {
  EXPECT_CONTAINS(npz_error(zip({})), "a.npz: holds no member 'format.npy'");
  EXPECT_CONTAINS(npz_error(zip({{"arr_0.npy", npy_list<std::int32_t>({1})}})),
                  "scipy.sparse.save_npz");
  const ScipyMatrix good;
  EXPECT_CONTAINS(
      npz_error(zip(
          {{"format.npy", good.format}, {"shape.npy", good.shape}, {"indptr.npy", good.indptr}})),
      "holds no member 'indices.npy'");
  ScipyMatrix matrix;
  matrix.format = npy_header("|S3", {}) + "coo";
  EXPECT_CONTAINS(npz_error(matrix.npz()), "in the format 'coo'; save it as CSR");
  matrix.format = npy_list<std::int32_t>({1});
  EXPECT_CONTAINS(npz_error(matrix.npz()), "member 'format': must be a text");
}

TEST(BadNpz, TypesAndShapes) {
  const auto with = [](auto change) {
    ScipyMatrix matrix;
    change(matrix);
    return npz_error(matrix.npz());
  };
  EXPECT_CONTAINS(
      with([](ScipyMatrix& m) { m.indices = npy_header("<f8", {3}) + std::string(24, 'a'); }),
      "a.npz, member 'indices': has values of type '<f8'; it must be '<i4' or '<i8'");
  EXPECT_CONTAINS(
      with([](ScipyMatrix& m) { m.indices = npy_header(">i4", {3}) + std::string(12, '\0'); }),
      "'>i4'");
  EXPECT_CONTAINS(with([](ScipyMatrix& m) {
                    m.indices = npy_header("<i4", {3, 1}) + std::string(12, '\0');
                  }),
                  "member 'indices': has the shape (3, 1); it must be one list");
  EXPECT_CONTAINS(
      with([](ScipyMatrix& m) { m.indices.pop_back(); }),
      "member 'indices': holds 11 bytes of data where its shape (3,) of '<i4' needs 12");
  EXPECT_CONTAINS(with([](ScipyMatrix& m) {
                    m.shape = npy_list<std::int64_t>({2, 3, 4});
                  }),
                  "member 'shape': has 3 items");
  EXPECT_CONTAINS(with([](ScipyMatrix& m) {
                    m.shape = npy_list<std::int64_t>({2, -3});
                  }),
                  "member 'shape': says -3");
  EXPECT_CONTAINS(with([](ScipyMatrix& m) {
                    m.shape = npy_list<std::int64_t>({2147483648, 3});
                  }),
                  "member 'shape': says 2147483648");
}

TEST(BadNpz, Contents) {
  const auto with = [](std::vector<std::int64_t> indptr, std::vector<std::int64_t> indices) {
    ScipyMatrix matrix;
    matrix.indptr = npy_list<std::int64_t>(indptr);
    matrix.indices = npy_list<std::int64_t>(indices);
    return npz_error(matrix.npz());
  };
  EXPECT_CONTAINS(with({0, 3}, {0, 2, 1}), "member 'indptr': has 2 items where the shape needs 3");
  EXPECT_CONTAINS(with({1, 2, 3}, {0, 2, 1}), "member 'indptr': begins with 1, not with 0");
  EXPECT_CONTAINS(with({0, 4, 3}, {0, 2, 1}), "member 'indptr': falls from 4 to 3 at item 2");
  EXPECT_CONTAINS(with({0, -4, 3}, {0, 2, 1}), "member 'indptr': falls from 0 to -4 at item 1");
  EXPECT_CONTAINS(with({0, 2, 4}, {0, 2, 1}), "ends with 4 where 'indices' has 3 items");
  EXPECT_CONTAINS(with({0, 2, 2}, {0, 2, 1}), "ends with 2 where 'indices' has 3 items");
  EXPECT_CONTAINS(with({0, 2, 3}, {0, 3, 1}), "member 'indices': item 1 is 3, outside [0, 3)");
  EXPECT_CONTAINS(with({0, 2, 3}, {0, -1, 1}), "member 'indices': item 1 is -1, outside [0, 3)");
  EXPECT_CONTAINS(with({0, 2, 3}, {0, 1L << 40, 1}),
                  "member 'indices': item 1 is 1099511627776, beyond the limit");
}

TEST(BadNpz, ClaimsAreHeldAgainstTheBytesThatAreThere) {
  // 2^31 - 1 columns by CSC: as rows they would take 16 GiB of offsets.
  ScipyMatrix matrix;
  matrix.format = npy_header("|S3", {}) + "csc";
  matrix.shape = npy_list<std::int64_t>({2147483647, 1});
  matrix.indptr = npy_list<std::int32_t>({0, 1});
  matrix.indices = npy_list<std::int32_t>({5});
  EXPECT_CONTAINS(npz_error(matrix.npz()), "claims 2147483647 rows but has only 1 entries");
  // A list that claims more items than its member has bytes.
  matrix = {};
  matrix.indices = npy_header("<i4", {4611686018427387904});
  EXPECT_CONTAINS(npz_error(matrix.npz()), "too large for any file");
}

// --- dense arrays ---

std::string npy_error(const std::string& bytes) {
  return error_of([&] { return read_dense_npy(bytes, "a.npy"); });
}

TEST(BadNpy, Headers) {
  EXPECT_CONTAINS(npy_error(""), "a.npy: ");
  EXPECT_CONTAINS(npy_error("\x93NUMPY"), "a.npy: ");
  EXPECT_CONTAINS(npy_error(npy_header("|b1", {1, 1}).substr(0, 40)), "a.npy: ");
  EXPECT_CONTAINS(npy_error(npy_header("|O", {1, 1}) + "12345678"),
                  "a.npy: has values of type '|O', which cannot be read");
  EXPECT_CONTAINS(npy_error(npy_header("<c8", {1, 1}) + "12345678"), "'<c8'; booleans, integers");
  EXPECT_CONTAINS(npy_error(npy_header("<f16", {1, 1}) + std::string(16, 'a')), "'<f16'");
  EXPECT_CONTAINS(npy_error(npy_header("<i4", {4}) + std::string(16, 'a')),
                  "has 1 dimensions, the shape (4,); a mask has two");
  EXPECT_CONTAINS(npy_error(npy_header("|b1", {1, 2, 2}) + "aaaa"), "has 3 dimensions");
}

TEST(BadNpy, Data) {
  EXPECT_CONTAINS(npy_error(npy_header("|b1", {2, 2}) + "aaa"),
                  "holds 3 bytes of data where its shape (2, 2) of '|b1' needs 4");
  EXPECT_CONTAINS(npy_error(npy_header("|b1", {2, 2}) + "aaaaa"), "holds 5 bytes of data");
  EXPECT_CONTAINS(npy_error(npy_header("|b1", {4294967296, 4294967296})), "too large for any file");
  EXPECT_CONTAINS(npy_error(npy_header("|b1", {2147483647, 0})), "claims 2147483647 rows");
  EXPECT_CONTAINS(npy_error(npy_header("|b1", {4294967296, 0})), "the limit is 2^31 - 1");
}

TEST(BadNpy, AdditiveMasksAreRecognised) {
  const std::string zero(4, '\0');
  EXPECT_CONTAINS(
      npy_error(npy_header("<f4", {2, 2}) + zero + zero + std::string("\0\0\x80\xff", 4) + zero),
      "has an infinity or NaN at [1, 0]; it looks like an additive mask");
  EXPECT_CONTAINS(npy_error(npy_header("<f2", {1, 1}) + std::string("\0\x7e", 2)), "at [0, 0]");
  EXPECT_CONTAINS(npy_error(npy_header("<f8", {1, 1}) + std::string("\0\0\0\0\0\0\xf0\x7f", 8)),
                  "at [0, 0]");
}

}  // namespace
}  // namespace masks
