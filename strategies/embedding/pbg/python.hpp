// SPDX-License-Identifier: Apache-2.0
// What does a Python configuration say, without running it? Assignments of literals, dict(...)
// calls, arithmetic between known values and the dictionary that a function returns. Anything else
// is noted as not read.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::graph {

struct PythonConfig {
  nlohmann::ordered_json values;    ///< an object
  std::vector<std::string> unread;  ///< "line 12: key 'edge_paths': a call of os.path.join"
};

/// The dictionary that `function` returns. Error (input): there is none, with the line.
Result<PythonConfig> read_python_config(const std::string& text, const std::string& file,
                                        const std::string& function);

}  // namespace meshplan::graph
