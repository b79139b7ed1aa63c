// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/initial.hpp"

#include <thread>

namespace meshplan {
namespace {

uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

uint64_t random_bits(uint64_t key, uint64_t index) {
  return mixed(key + (index + 1) * 0x9E3779B97F4A7C15ULL);
}

uint64_t random_key(const std::string& name, uint64_t seed) {
  uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return mixed(hash ^ mixed(seed));
}

float random_normal(uint64_t key, uint64_t index) {
  const uint64_t bits = random_bits(key, index);
  const int64_t sum = static_cast<int64_t>((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) +
                                           (bits >> 32 & 0xFFFF) + (bits >> 48));
  // four uniforms on 0 .. 65535: mean 131070, variance 4 (65536^2 - 1) / 12
  return static_cast<float>(static_cast<double>(sum - 131070) * 2.6428998e-5);
}

Status RandomWeights::fill(const TensorPart& part, const FlatRange& range, float* data) const {
  const uint64_t key = random_key(part.tensor, initial_.seed);
  const bool norm = part.tensor_rows == 1 && ends_with(part.tensor, "norm.weight");
  const bool bias = ends_with(part.tensor, ".bias");
  const float deviation = static_cast<float>(initial_.deviation);
  const auto fill_run = [&](int64_t element, int64_t offset, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      data[offset + i] =
          norm ? 1.0F
               : (bias ? 0.0F : deviation * random_normal(key, static_cast<uint64_t>(element + i)));
    }
  };
  for_each_run(part, range, [&](int64_t element, int64_t offset, int64_t count) {
    constexpr int64_t kLarge = 1 << 24;  // billions of weights take a minute on one thread
    if (count < kLarge) return fill_run(element, offset, count);
    const auto all = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < all; ++t) {
      const int64_t begin = count * t / all, end = count * (t + 1) / all;
      threads.emplace_back(fill_run, element + begin, offset + begin, end - begin);
    }
    for (std::thread& thread : threads) thread.join();
  });
  return Done{};
}

Status RandomTokens::read(int64_t step, int64_t index, int64_t length, int32_t* tokens) const {
  const uint64_t key = random_key("tokens", seed_) + random_bits(static_cast<uint64_t>(step), 7) +
                       random_bits(static_cast<uint64_t>(index), 11);
  for (int64_t i = 0; i <= length; ++i) {
    const uint64_t bits = random_bits(key, static_cast<uint64_t>(i));
    const int64_t first = static_cast<int64_t>(bits >> 32) % vocabulary_;
    const int64_t second = static_cast<int64_t>(bits & 0xFFFFFFFF) % vocabulary_;
    tokens[i] = static_cast<int32_t>(first * second / vocabulary_);
  }
  return Done{};
}

}  // namespace meshplan
