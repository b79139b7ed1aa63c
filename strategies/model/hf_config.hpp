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

}  // namespace meshplan
