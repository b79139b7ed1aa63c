// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "strategies/model/model.hpp"

namespace meshplan {
namespace {

struct Shape {
  const char* name;
  int64_t layers, hidden, heads, kv_heads, intermediate, vocabulary;
  double theta;
  bool tied;
};
// Published Llama shapes (the bundled model files have the sources).
constexpr Shape kShapes[] = {
    {"Llama 3.2 1B", 16, 2048, 32, 8, 8192, 128256, 500000, true},
    {"Llama 3.2 3B", 28, 3072, 24, 8, 8192, 128256, 500000, true},
    {"Llama 3 8B", 32, 4096, 32, 8, 14336, 128256, 500000, false},
    {"Llama 3 70B", 80, 8192, 64, 8, 28672, 128256, 500000, false},
    {"Llama 3.1 405B", 126, 16384, 128, 8, 53248, 128256, 500000, false},
    {"Llama 2 7B", 32, 4096, 32, 32, 11008, 32000, 10000, false},
    {"Llama 2 13B", 40, 5120, 40, 40, 13824, 32000, 10000, false},
    {"LLaMA 65B", 80, 8192, 64, 64, 22016, 32000, 10000, false},
};

Model model_of(const Shape& s) {
  Model m;
  m.layers = s.layers;
  m.hidden = s.hidden;
  m.heads = s.heads;
  m.kv_heads = s.kv_heads;
  m.head_dim = s.hidden / s.heads;
  m.intermediate = s.intermediate;
  m.vocabulary = s.vocabulary;
  m.rope_theta = s.theta;
  m.tied_embeddings = s.tied;
  m.max_positions = 8192;
  return m;
}

std::string size_text(double parameters) {
  if (parameters >= 1e12) return fmt::format("{:.4g}T", parameters / 1e12);
  if (parameters >= 1e9) return fmt::format("{:.4g}B", parameters / 1e9);
  return fmt::format("{:.4g}M", parameters / 1e6);
}

double distance(const Model& m, double wanted) {
  return std::abs(static_cast<double>(parameters(m)) / wanted - 1);
}

/// Llama 3's proportions: intermediate 3.5 hidden, about 115 hidden units a layer, heads of 128 (64
/// below a width of 2048), 8 kv heads; below a width of 2048 a small, tied vocabulary.
Model proportional(double wanted) {
  Model best;
  double best_score = INFINITY;
  const int64_t step = wanted < 1.5e9 ? 128 : 1024;
  for (int64_t hidden = step; hidden <= 131072; hidden += step) {
    Shape shape{"", 1, hidden, 0, 0, 0, hidden < 2048 ? 32000 : 128256, 500000, hidden < 2048};
    shape.heads = hidden / (hidden < 2048 ? 64 : 128);
    shape.kv_heads = shape.heads % 8 == 0 ? 8 : shape.heads;
    shape.intermediate = (hidden * 7 / 2 + 255) / 256 * 256;
    Model m = model_of(shape);
    const double rest = wanted - static_cast<double>(embedding_parameters(m) + head_parameters(m));
    const double layer = static_cast<double>(parameters_of_layer(m, LayerKind::dense));
    m.layers = std::max<int64_t>(2, 2 * std::llround(rest / layer / 2));
    const double aspect = static_cast<double>(hidden) / static_cast<double>(m.layers) / 115;
    const double score = 4 * distance(m, wanted) + std::abs(std::log(aspect));
    if (score < best_score) {
      best_score = score;
      best = m;
    }
  }
  return best;
}

}  // namespace

Model llama_of_size(double wanted) {
  const Shape* shape =
      std::min_element(std::begin(kShapes), std::end(kShapes), [&](const Shape& a, const Shape& b) {
        return distance(model_of(a), wanted) < distance(model_of(b), wanted);
      });
  Model m = model_of(*shape);
  std::string taken = fmt::format("the shape of {}", shape->name);
  if (distance(m, wanted) > 0.05) {
    m = proportional(wanted);
    taken = "Llama 3's proportions";
  }
  m.id = size_text(wanted);
  std::replace(m.id.begin(), m.id.end(), '.', '_');
  m.id = "llama-" + m.id;
  m.name = fmt::format("Llama-shaped {}", size_text(wanted));
  m.source = "size given by the user";
  m.assumptions.push_back(fmt::format(
      "{} was given as a size: {}, {} layers, hidden {}, {} heads ({} kv), intermediate {}, "
      "vocabulary {}{}: {} parameters",
      size_text(wanted), taken, m.layers, m.hidden, m.heads, m.kv_heads, m.intermediate,
      m.vocabulary, m.tied_embeddings ? " (tied)" : "", parameters(m)));
  return m;
}

}  // namespace meshplan
