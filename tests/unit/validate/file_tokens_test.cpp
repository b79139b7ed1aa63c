// SPDX-License-Identifier: Apache-2.0
// Tokens from files: bytes, 16 and 32 bits; what is wrong with a file.
#include "validate/run/file_tokens.hpp"

#include <cstdio>
#include <fstream>

#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

struct File {
  std::string path = std::string(P_tmpdir) + "/meshplan-tokens-test";
  explicit File(const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { std::remove(path.c_str()); }
};

/// Sequence `index` of a step, three tokens and the one after them.
std::vector<int32_t> read(const FileTokens& tokens, int64_t step, int64_t index) {
  std::vector<int32_t> out(4);
  const Status status = tokens.read(step, index, 3, out.data());
  if (!status.ok()) FAIL(render(status.error()));
  return out;
}

TEST_CASE("a text file gives a token per byte, from the start again at its end") {
  const File file("abcdefgh");
  const FileTokens tokens = FileTokens::open(file.path, TokenFormat::byte, {3, 2}, 256).value();
  CHECK(tokens.count() == 8);
  CHECK(read(tokens, 0, 0) == std::vector<int32_t>{'a', 'b', 'c', 'd'});
  CHECK(read(tokens, 0, 1) == std::vector<int32_t>{'d', 'e', 'f', 'g'});
  CHECK(read(tokens, 1, 0) == std::vector<int32_t>{'a', 'b', 'c', 'd'});
}

TEST_CASE("numbers of 16 and of 32 bits") {
  const File file(std::string("\x01\x00\x00\x01\xff\x7f\x02\x00\x00\x00\x01\x00", 12));
  const FileTokens narrow = FileTokens::open(file.path, TokenFormat::uint16, {3, 1}, 40000).value();
  CHECK(narrow.count() == 6);
  CHECK(read(narrow, 0, 0) == std::vector<int32_t>{1, 256, 32767, 2});
  const FileTokens wide = FileTokens::open(file.path, TokenFormat::uint32, {2, 1}, 1 << 30).value();
  std::vector<int32_t> out(3);
  REQUIRE(wide.read(0, 0, 2, out.data()).ok());
  CHECK(out == std::vector<int32_t>{1 << 24 | 1, 2 << 16 | 32767, 65536});
}

TEST_CASE("files that do not do") {
  const File file("abcdefg");
  const auto error_of = [&](TokenFormat format, const Batch& batch, int64_t vocabulary) {
    const Result<FileTokens> tokens = FileTokens::open(file.path, format, batch, vocabulary);
    REQUIRE_FALSE(tokens.ok());
    return tokens.error();
  };
  CHECK(error_of(TokenFormat::byte, {3, 1}, 100).kind == ErrorKind::usage);
  CHECK(error_of(TokenFormat::byte, {7, 1}, 256).message ==
        "the file has 7 tokens, a sequence takes 8");
  CHECK(error_of(TokenFormat::uint16, {2, 1}, 256).kind == ErrorKind::input);
  CHECK_FALSE(FileTokens::open(file.path + "-missing", TokenFormat::byte, {3, 1}, 256).ok());
  CHECK_FALSE(FileTokens::open(P_tmpdir, TokenFormat::byte, {3, 1}, 256).ok());

  const File words(std::string("\x01\x00\x64\x00\x02\x00", 6));
  const FileTokens tokens = FileTokens::open(words.path, TokenFormat::uint16, {2, 1}, 100).value();
  std::vector<int32_t> out(3);
  const Status status = tokens.read(0, 0, 2, out.data());
  REQUIRE_FALSE(status.ok());
  CHECK(status.error().message == "token 1 is 100, the vocabulary has 100");
}

}  // namespace
}  // namespace meshplan
