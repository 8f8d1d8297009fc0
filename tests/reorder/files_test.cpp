// SPDX-License-Identifier: Apache-2.0
#include "reorder/files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "expect_error.hpp"
#include "full_disk.hpp"
#include "temp_folder.hpp"

namespace reorder {
namespace {

using testing::expect_error;

class FilesTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::ptrdiff_t files_in_folder() const {
    const std::filesystem::directory_iterator all(folder_.path());
    return std::distance(begin(all), end(all));
  }

  testing::TempFolder folder_;
  std::filesystem::path file_ = folder_.path() / "a.txt";
};

TEST_F(FilesTest, BytesComeBackAsTheyWere) {
  for (const std::size_t size : {0, 1, 65535, 65536, 65537, 1000000}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    write_file(file_, bytes);
    EXPECT_TRUE(read_file(file_) == bytes) << size;
    EXPECT_EQ(files_in_folder(), 1) << "a temporary file is left";
  }
}

TEST_F(FilesTest, APipeIsReadToItsEnd) {
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  const std::string bytes(200000, 'x');
  const pid_t child = fork();
  if (child == 0) {
    std::ofstream(file_, std::ios::binary) << bytes;
    std::_Exit(0);
  }
  EXPECT_TRUE(read_file(file_) == bytes);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
}

TEST_F(FilesTest, WithoutACommitAnOlderFileStays) {
  write_file(file_, "old");
  {
    OutputFile output(file_);
    output.write("half of the n");
    EXPECT_EQ(read_file(file_), "old");
  }
  EXPECT_EQ(read_file(file_), "old");
  EXPECT_EQ(files_in_folder(), 1);
}

TEST_F(FilesTest, AFullDiskLeavesTheOlderFile) {
  write_file(file_, "old");
  testing::write_to_a_full_disk(file_, [&] { write_file(file_, std::string(1000000, 'n')); });
  EXPECT_EQ(read_file(file_), "old");
  EXPECT_EQ(files_in_folder(), 1) << "a temporary file is left";
}

TEST_F(FilesTest, ALinkStaysALink) {
  const auto link = folder_.path() / "link";
  const auto second = folder_.path() / "second";
  std::filesystem::create_symlink("a.txt", link);  // relative, and nothing is there yet
  std::filesystem::create_symlink(link, second);
  for (const char* bytes : {"new", "newer"}) {
    write_file(second, bytes);
    EXPECT_TRUE(std::filesystem::is_symlink(link) && std::filesystem::is_symlink(second));
    EXPECT_EQ(read_file(file_), bytes);
    EXPECT_EQ(files_in_folder(), 3);
  }
}

TEST_F(FilesTest, WhatIsNoOrdinaryFileIsWrittenInPlace) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  // Through a link: a rename by mistake would replace the link and not the device.
  std::filesystem::create_symlink("/dev/full", file_);
  expect_error(ErrorCode::bad_file, "No space left",
               [&] { write_file(file_, std::string(1 << 20, 'x')); });
  EXPECT_TRUE(std::filesystem::is_symlink(file_));
  EXPECT_TRUE(std::filesystem::is_character_file(file_));
}

TEST_F(FilesTest, ErrorsNameTheFileAndTheReason) {
  expect_error(ErrorCode::bad_file, "a.txt: cannot open: No such file",
               [&] { (void)read_file(file_); });
  expect_error(ErrorCode::bad_file, "is a folder, not a file",
               [&] { (void)read_file(folder_.path()); });
  expect_error(ErrorCode::bad_file, "a.txt: cannot create: No such file",
               [&] { write_file(folder_.path() / "no" / "such" / "a.txt", ""); });
}

}  // namespace
}  // namespace reorder
