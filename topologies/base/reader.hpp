// SPDX-License-Identifier: Apache-2.0
// How are our own data files (YAML, or JSON, which is read as YAML) read without accepting typos?
//
// A MapReader stands on one mapping of the file. Getters note the first problem and return a
// neutral value, so a reader function lists its keys plainly and asks `finish()` once: it returns
// the first problem, or the unknown keys with the nearest known name. Every error carries file,
// line and key.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

class MapReader {
 public:
  /// Parses `path`; error (input) when missing, malformed (with line), or not a mapping.
  static Result<MapReader> open(const std::string& path);
  /// Same for text in memory; `name` stands in messages in place of the path.
  static Result<MapReader> parse(const std::string& text, const std::string& name);

  bool has(const std::string& key);  ///< also true when the value is null
  bool is_null(const std::string& key);
  std::vector<std::string> keys() const;  ///< in file order

  // Required keys: absence is a problem. With a fallback: absence or null gives the fallback.
  double number(const std::string& key);
  double number(const std::string& key, double fallback);
  double positive(const std::string& key);  ///< number > 0; anything else is a problem
  double positive(const std::string& key, double fallback);
  int64_t integer(const std::string& key);
  int64_t integer(const std::string& key, int64_t fallback);
  bool boolean(const std::string& key);
  bool boolean(const std::string& key, bool fallback);
  std::string text(const std::string& key);
  std::string text(const std::string& key, const std::string& fallback);
  /// One of `legal`, else a problem that names the nearest.
  std::string choice(const std::string& key, const std::vector<std::string>& legal);
  std::string choice(const std::string& key, const std::vector<std::string>& legal,
                     const std::string& fallback);
  std::vector<double> numbers(const std::string& key);     ///< empty if absent
  std::vector<std::string> texts(const std::string& key);  ///< empty if absent
  MapReader map(const std::string& key);                   ///< nested mapping; empty if absent
  std::vector<MapReader> maps(const std::string& key);     ///< list of mappings; empty if absent

  /// Notes a problem of the caller's own (a rule between keys) at the line of `key`.
  void problem(const std::string& key, const std::string& message, const std::string& hint = "");
  /// Marks a key as known without reading it.
  void ignore(const std::string& key);

  /// First problem noted anywhere in the document so far, else this mapping's unknown keys, else
  /// Done. Nested readers are finished by their own call.
  Status finish();

  MapReader(MapReader&&) noexcept;
  MapReader& operator=(MapReader&&) noexcept;
  ~MapReader();

 private:
  struct State;
  explicit MapReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace meshplan
