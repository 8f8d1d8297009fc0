// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <zlib.h>

#include "archives.hpp"
#include "io/readers.hpp"
#include "masks/mask.hpp"
#include "patterns.hpp"
#include "reorder/error.hpp"
#include "reorder/full_disk.hpp"
#include "temporary_folder.hpp"

namespace masks {
namespace {

using Lines = std::vector<std::string>;

reorder::Csr from_mtx(std::string_view text) {
  return read_matrix_market(*open_memory(text, "test.mtx"));
}

reorder::Csr from_npz(const std::string& bytes) {
  return read_scipy_npz(bytes, "test.npz");
}
reorder::Csr from_npy(const std::string& bytes) {
  return read_dense_npy(bytes, "test.npy");
}

// --- every format ---

class RoundTrip : public testing::TestWithParam<const char*> {};

TEST_P(RoundTrip, GivesThePatternBack) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / (std::string("mask") + GetParam());
  const std::vector<reorder::Csr> patterns = [] {
    std::vector<reorder::Csr> made;
    for (const char* text : {"causal(n=1)", "window(n=70,window=3)", "random(n=90,density=0.2)",
                             "rect_topics(n=128)", "rect_topics(n=128)|transpose", "alpaca(n=60)",
                             "random(n=33,density=0)", "dense(n=17)"}) {
      made.push_back(make(text).pattern);
    }
    made.emplace_back();  // 0 x 0
    made.emplace_back(3, 0, std::vector<std::int64_t>{0, 0, 0, 0}, std::vector<std::int32_t>{});
    made.emplace_back(0, 3, std::vector<std::int64_t>{0}, std::vector<std::int32_t>{});
    return made;
  }();
  for (const reorder::Csr& pattern : patterns) {
    write(file, pattern);
    EXPECT_TRUE(same(read(file), pattern))
        << file << " of " << pattern.n_rows() << " x " << pattern.n_cols();
    EXPECT_EQ(folder.count_files(), 1U) << "a temporary file is left";
  }
}

TEST_P(RoundTrip, EqualPatternsGiveEqualBytes) {
  const TemporaryFolder folder;
  const reorder::Csr pattern = make("bigbird(n=200)").pattern;
  write(folder / (std::string("first") + GetParam()), pattern);
  write(folder / (std::string("second") + GetParam()), pattern);
  EXPECT_EQ(bytes_of(folder / (std::string("first") + GetParam())),
            bytes_of(folder / (std::string("second") + GetParam())));
}

TEST_P(RoundTrip, AFullDiskIsAnErrorAndLeavesTheOldFile) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / (std::string("mask") + GetParam());
  write(file, make("causal(n=20)").pattern);
  const std::string before = bytes_of(file);
  const reorder::Csr large = make("random(n=3000,density=0.1)").pattern;

  reorder::testing::write_to_a_full_disk(file, [&] { write(file, large); });
  EXPECT_EQ(bytes_of(file), before);
  EXPECT_EQ(folder.count_files(), 1U) << "a temporary file is left";
}

INSTANTIATE_TEST_SUITE_P(Formats, RoundTrip, testing::Values(".mtx", ".mtx.gz", ".npz", ".npy"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST(Formats, MakeReadsFilesAndNamesThem) {
  const TemporaryFolder folder;
  const std::filesystem::path plain = folder / "mask.MTX";
  const std::filesystem::path odd = folder / "my mask|1.npz";
  const reorder::Csr pattern = make("window(n=30,window=2)").pattern;
  write(plain, pattern);
  write(odd, pattern);

  EXPECT_EQ(make(plain.string()).name, plain.string());
  EXPECT_TRUE(same(make(plain.string()).pattern, pattern));
  const Mask shuffled = make("\"" + odd.string() + "\" | shuffle(seed=2)");
  EXPECT_EQ(shuffled.name, "\"" + odd.string() + "\"|shuffle(seed=2)");
  EXPECT_TRUE(same(shuffled.pattern, make("window(n=30,window=2)|shuffle(seed=2)").pattern));
  EXPECT_TRUE(same(make(shuffled.name).pattern, shuffled.pattern));
}

TEST(Formats, WritingNeedsAKnownEndingAndAFolder) {
  const TemporaryFolder folder;
  EXPECT_THROW(write(folder / "mask.txt", make("causal(n=2)").pattern), reorder::Error);
  EXPECT_THROW(write(folder / "none/mask.mtx", make("causal(n=2)").pattern), reorder::Error);
  EXPECT_EQ(folder.count_files(), 0U);
}

// --- Matrix Market ---

TEST(MatrixMarket, IsWrittenAsTheFormatSays) {
  const TemporaryFolder folder;
  write(folder / "a.mtx", from_picture({"x.x", ".x."}));
  EXPECT_EQ(bytes_of(folder / "a.mtx"),
            "%%MatrixMarket matrix coordinate pattern general\n2 3 3\n1 1\n1 3\n2 2\n");
}

TEST(MatrixMarket, ReadsAllKinds) {
  EXPECT_EQ(picture(from_mtx("%%MatrixMarket matrix coordinate real general\n"
                             "2 2 2\n1 2 -1.5e3\n2 1 0\n")),
            (Lines{".x", "x."}));
  EXPECT_EQ(picture(from_mtx("%%MatrixMarket matrix coordinate integer symmetric\n"
                             "3 3 3\n2 1 7\n3 3 1\n3 2 +4\n")),
            (Lines{".x.", "x.x", ".xx"}));
  EXPECT_EQ(picture(from_mtx("%%MatrixMarket matrix coordinate real skew-symmetric\n"
                             "2 2 1\n2 1 7.25\n")),
            (Lines{".x", "x."}));
  EXPECT_EQ(picture(from_mtx("%%MatrixMarket matrix coordinate pattern general\n1 1 0\n")),
            (Lines{"."}));
}

TEST(MatrixMarket, TakesWhatFilesInTheWildHave) {
  // Upper case, comments, blank lines, Windows line ends, tabs, blanks at the ends, entries in any
  // order and twice, values out of a double's range, no newline at the end.
  EXPECT_EQ(picture(from_mtx("%%matrixmarket MATRIX Coordinate REAL General\r\n"
                             "%\r\n% a comment\r\n\r\n 2\t3  4 \r\n"
                             "2 1 1e999\r\n\r\n1 3 nan \r\n% between\r\n\t1 1 -inf\r\n2 1 1e-999")),
            (Lines{"x.x", "x.."}));
}

TEST(MatrixMarket, LinesMayStraddleTheBuffer) {
  // 3 million short lines are more than one buffer; the cuts fall anywhere.
  std::string text = "%%MatrixMarket matrix coordinate pattern general\n1000 3000 300000\n";
  for (int i = 0; i < 300000; ++i) {
    text += std::to_string(i / 300 + 1) + " " + std::to_string(i % 300 * 10 + 1) + "\n";
  }
  const reorder::Csr pattern = from_mtx(text);
  EXPECT_EQ(pattern.nnz(), 300000);
  EXPECT_EQ(pattern.view().degree(999), 300);
}

TEST(MatrixMarket, ReadsGzipOfSeveralParts) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "a.mtx.gz";
  for (const char* part :
       {"%%MatrixMarket matrix coordinate pattern general\n2 2 2\n1 ", "1\n2 2\n"}) {
    const gzFile out = gzopen(file.c_str(), "ab");
    gzputs(out, part);
    gzclose(out);
  }
  EXPECT_EQ(picture(read(file)), (Lines{"x.", ".x"}));
}

// --- scipy ---

TEST(ScipyNpz, ReadsEitherWidthOfIndices) {
  const Lines expected{"x.x", ".x."};
  ScipyMatrix matrix;
  EXPECT_EQ(picture(from_npz(matrix.npz())), expected);
  matrix.indptr = npy_list<std::int64_t>({0, 2, 3});
  matrix.indices = npy_list<std::int64_t>({0, 2, 1});
  EXPECT_EQ(picture(from_npz(matrix.npz())), expected);
}

TEST(ScipyNpz, SortsAndMergesIndices) {
  ScipyMatrix matrix;
  matrix.indptr = npy_list<std::int32_t>({0, 4, 6});
  matrix.indices = npy_list<std::int32_t>({2, 0, 2, 2, 1, 1});
  EXPECT_EQ(picture(from_npz(matrix.npz())), (Lines{"x.x", ".x."}));
}

TEST(ScipyNpz, ReadsColumnsToo) {
  ScipyMatrix matrix;
  matrix.format = npy_header("|S3", {}) + "csc";
  matrix.indptr = npy_list<std::int32_t>({0, 1, 2, 3});
  matrix.indices = npy_list<std::int32_t>({0, 1, 0});
  EXPECT_EQ(picture(from_npz(matrix.npz())), (Lines{"x.x", ".x."}));
}

TEST(ScipyNpz, ReadsTheFormatAsUnicode) {
  ScipyMatrix matrix;
  matrix.format = npy_header("<U3", {}) + std::string("c\0\0\0s\0\0\0r\0\0\0", 12);
  EXPECT_EQ(picture(from_npz(matrix.npz())), (Lines{"x.x", ".x."}));
}

// --- dense arrays ---

TEST(DenseNpy, NonZeroIsAllowedInEveryType) {
  struct Kind {
    const char* descr;
    std::vector<std::string> items;  ///< zero, one
  };
  const std::vector<Kind> kinds{{"|b1", {{"\0", 1}, {"\1", 1}}},
                                {"|i1", {{"\0", 1}, {"\xff", 1}}},
                                {"|u1", {{"\0", 1}, {"\x80", 1}}},
                                {"<i2", {{"\0\0", 2}, {"\0\x80", 2}}},
                                {"<u4", {{"\0\0\0\0", 4}, {"\0\0\1\0", 4}}},
                                {">i4", {{"\0\0\0\0", 4}, {"\0\0\0\1", 4}}},
                                {"<i8", {{"\0\0\0\0\0\0\0\0", 8}, {"\0\0\0\0\0\0\0\x80", 8}}},
                                {"<f2", {{"\0\x80", 2}, {"\0\x3c", 2}}},        // -0, 1
                                {"<f4", {{"\0\0\0\x80", 4}, {"\1\0\0\0", 4}}},  // -0, the smallest
                                {">f4", {{"\x80\0\0\0", 4}, {"\x3f\x80\0\0", 4}}},  // -0, 1
                                {"<f8", {{"\0\0\0\0\0\0\0\x80", 8}, {"\0\0\0\0\0\0\xf0\x3f", 8}}}};
  for (const Kind& kind : kinds) {
    const std::string& zero = kind.items[0];
    const std::string& one = kind.items[1];
    EXPECT_EQ(
        picture(from_npy(npy_header(kind.descr, {2, 3}) + one + zero + one + zero + one + zero)),
        (Lines{"x.x", ".x."}))
        << kind.descr;
  }
}

TEST(DenseNpy, ReadsFortranOrder) {
  std::string header = npy_header("|b1", {2, 3});
  const std::string c_order = "'fortran_order': False";
  header.replace(header.find(c_order), c_order.size(), "'fortran_order': True ");
  EXPECT_EQ(picture(from_npy(header + std::string("\1\0\0\1\1\0", 6))), (Lines{"x.x", ".x."}));
}

// --- against scipy and numpy themselves ---

TEST(Scipy, ExchangesFiles) {
  const std::string python = "/usr/bin/python3";
  if (std::system((python + " -c 'import scipy.sparse' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << python << " has no scipy";
  }
  const TemporaryFolder folder;
  const reorder::Csr pattern = make("rect_topics(n=300)").pattern;
  write(folder / "ours.npz", pattern);
  write(folder / "ours.npy", pattern);
  write(folder / "ours.mtx", pattern);
  write(folder / "ours.mtx.gz", pattern);
  put_bytes(folder / "exchange.py", R"(
import numpy, scipy.io, scipy.sparse, sys
folder = sys.argv[1]
ours = scipy.sparse.load_npz(folder + "/ours.npz")
assert ours.has_canonical_format and ours.dtype == bool and ours.shape == (75, 300), ours
dense = numpy.load(folder + "/ours.npy")
assert (dense == ours.toarray()).all()
for name in ("/ours.mtx", "/ours.mtx.gz"):
    assert (dense == (scipy.io.mmread(folder + name).toarray() != 0)).all(), name
scipy.sparse.save_npz(folder + "/deflated.npz", ours)
scipy.sparse.save_npz(folder + "/stored.npz", ours.astype(float), compressed=False)
scipy.sparse.save_npz(folder + "/columns.npz", ours.tocsc())
scipy.io.mmwrite(folder + "/theirs.mtx", ours.astype(float))
numpy.save(folder + "/theirs.npy", numpy.asfortranarray(dense.astype(numpy.float16)))
)");
  const std::string command =
      python + " " + (folder / "exchange.py").string() + " " + (folder / "").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  for (const char* name :
       {"deflated.npz", "stored.npz", "columns.npz", "theirs.mtx", "theirs.npy"}) {
    EXPECT_TRUE(same(read(folder / name), pattern)) << name;
  }
}

}  // namespace
}  // namespace masks
