// SPDX-License-Identifier: Apache-2.0
#include "reorder/npy.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "expect_error.hpp"
#include "temp_folder.hpp"

namespace reorder {
namespace {

using testing::expect_error;

class NpyTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& bytes) {
    const auto file = folder_.path() / name;
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

  /// A .npy file of version 1.0 with this header text and data.
  static std::string npy(const std::string& header, const std::string& data) {
    std::string bytes("\x93NUMPY\x01\x00", 8);
    bytes += static_cast<char>(header.size() & 0xff);
    bytes += static_cast<char>(header.size() >> 8);
    return bytes + header + data;
  }

  template <typename T>
  static std::string data_of(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
  }

  testing::TempFolder folder_;
};

TEST_F(NpyTest, WhatIsWrittenIsRead) {
  const std::vector<std::int32_t> indices{3, 0, 2147483647, 1};
  for (const char* name : {"a.npy", "a.txt"}) {
    write_indices(folder_.path() / name, indices);
    EXPECT_EQ(read_indices(folder_.path() / name), indices) << name;
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path().stem(), "a") << "a temporary file was left behind";
  }
}

TEST_F(NpyTest, HeaderStartsDataAtAMultipleOf64) {
  write_indices(folder_.path() / "a.npy", std::vector<std::int32_t>(12345));
  std::ifstream stream(folder_.path() / "a.npy", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  const NpyHeader header = parse_npy_header(bytes, "a.npy");
  EXPECT_EQ(header.data_offset % 64, 0u);
  EXPECT_EQ(header.descr, "<i4");
  EXPECT_EQ(header.shape, std::vector<std::int64_t>{12345});
  EXPECT_FALSE(header.fortran_order);
  EXPECT_EQ(bytes[header.data_offset - 1], '\n');
}

TEST_F(NpyTest, ReadsEveryIntegerThatNumPyWrites) {
  for (const char order : {'<', '>'}) {
    for (const char kind : {'i', 'u'}) {
      for (const std::size_t width : {1, 2, 4, 8}) {
        const std::string descr{width == 1 ? '|' : order, kind, static_cast<char>('0' + width)};
        std::string data;
        for (const char value : {'\2', '\0', '\1'}) {
          std::string bytes(width, '\0');
          (order == '<' ? bytes.front() : bytes.back()) = value;
          data += bytes;
        }
        const auto file = write(
            "a.npy",
            npy("{'descr': '" + descr + "', 'fortran_order': False, 'shape': (3,), }\n", data));
        EXPECT_EQ(read_indices(file), (std::vector<std::int32_t>{2, 0, 1})) << descr;
      }
    }
  }
  const auto file = write("a.npy", npy("{'descr': '>u2', 'fortran_order': False, 'shape': (1,), }",
                                       std::string("\xFE\x01")));
  EXPECT_EQ(read_indices(file), std::vector<std::int32_t>{0xFE01});
}

TEST_F(NpyTest, TextMayHaveCommentsAndBlankLines) {
  EXPECT_EQ(read_indices(write("a.txt", "# new to old\n 2\n\n0 # first\r\n1")),
            (std::vector<std::int32_t>{2, 0, 1}));
}

TEST_F(NpyTest, BadTextIsReportedWithItsLine) {
  expect_error(ErrorCode::bad_file, "a.txt:2: '1.5' is no index",
               [&] { (void)read_indices(write("a.txt", "0\n1.5\n")); });
  expect_error(ErrorCode::bad_file, "a.txt:1: '-1' is no index",
               [&] { (void)read_indices(write("a.txt", "-1\n")); });
  expect_error(ErrorCode::bad_file, "a.txt:3: '2147483648' is no index",
               [&] { (void)read_indices(write("a.txt", "0\n\n2147483648\n")); });
}

TEST_F(NpyTest, BadNpyIsReportedWithItsPath) {
  const auto refuse = [&](const std::string& part, const std::string& bytes) {
    expect_error(ErrorCode::bad_file, part, [&] { (void)read_indices(write("a.npy", bytes)); });
  };
  const std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }";
  refuse("no NUMPY magic", "0\n1\n");
  refuse("cut off", std::string("\x93NUMPY\x01\x00", 8));
  refuse("cut off", npy(header, "").substr(0, 30));
  refuse("promises 2 elements of 4 bytes, but 4 bytes follow", npy(header, std::string(4, '\0')));
  refuse("promises 2 elements of 4 bytes, but 12 bytes follow", npy(header, std::string(12, '\0')));
  refuse("indices must be integers, not '<f8'",
         npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", std::string(16, '\0')));
  refuse("2 dimensions",
         npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1)}", std::string(4, '\0')));
  refuse("element 1 is -5", npy(header, data_of<std::int32_t>({0, -5})));
  refuse("element 0 is 4294967296", npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}",
                                        data_of<std::int64_t>({4294967296})));
  refuse("element 0 is -2,",
         npy("{'descr': '>i2', 'fortran_order': False, 'shape': (1,)}", std::string("\xFF\xFE")));
  refuse("element 0 is 18446744073709551615",
         npy("{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", std::string(8, '\xFF')));
  refuse("version 9.0", std::string("\x93NUMPY\x09\x00\x00\x00", 10));
  refuse("must all be there", npy("{'descr': '<i4'}", ""));
  refuse("expected ':'", npy("{'descr' '<i4'}", ""));
  refuse("a dimension is no count",
         npy("{'descr': '<i4', 'fortran_order': False, 'shape': (-2,)}", ""));
  refuse("unknown key 'x'", npy("{'x': '<i4'}", ""));
  // More elements than bytes could ever follow: the size must not be trusted for an allocation.
  refuse("promises 4611686018427387904 elements",
         npy("{'descr': '<i4', 'fortran_order': False, 'shape': (4611686018427387904,)}", ""));
}

TEST_F(NpyTest, EveryTruncationIsAnErrorNotACrash) {
  write_indices(folder_.path() / "whole.npy", std::vector<std::int32_t>{1, 0, 2});
  std::ifstream stream(folder_.path() / "whole.npy", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW((void)read_indices(write("cut.npy", bytes.substr(0, size))), Error) << size;
  }
}

TEST_F(NpyTest, FilesThatCannotBeReadOrWritten) {
  expect_error(ErrorCode::bad_file, "cannot open",
               [&] { (void)read_indices(folder_.path() / "missing.npy"); });
  expect_error(ErrorCode::bad_file, "is a folder", [&] { (void)read_indices(folder_.path()); });
  expect_error(ErrorCode::bad_file, "cannot create", [&] {
    write_indices(folder_.path() / "no" / "such" / "a.npy", std::vector<std::int32_t>{0});
  });
}

}  // namespace
}  // namespace reorder
