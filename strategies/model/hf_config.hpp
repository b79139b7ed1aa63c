// SPDX-License-Identifier: Apache-2.0
// How do the keys of HF's config.json become a Model? One reader for users' files and for the
// `config:` part of bundled model files.
#pragma once
#include "strategies/model/model.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {

/// Reads one mapping of HF keys. Problems are noted in the reader; the caller asks its finish().
/// Keys that say nothing about the shape are ignored; a missing key is answered with the nearest
/// one that is there.
Model model_from_hf(MapReader& config);

/// Hybrids of Mamba-2, attention and MLP sublayers (nemotron_h), see hf_hybrid.cpp.
Model hybrid_from_hf(MapReader& config);

/// A whole number from 1 (with a fallback: from 0) up; anything else is noted as a problem.
int64_t hf_dimension(MapReader& config, const std::string& key);
int64_t hf_dimension(MapReader& config, const std::string& key, int64_t fallback);

}  // namespace meshplan
