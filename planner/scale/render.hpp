// SPDX-License-Identifier: Apache-2.0
// How does a scaling report read: for people, for programs, as a page?
#pragma once
#include <string>
#include <vector>

#include "planner/report/question.hpp"
#include "planner/scale/scale.hpp"
#include "planner/scale/size.hpp"

namespace meshplan::report {

std::string to_text(const ScaleReport& report);
/// The document of `scale`; only "run" differs between two runs.
Json to_json(const ScaleReport& report, const Question& question);
/// One line for each way to train at each number of GPUs.
std::string to_csv(const ScaleReport& report);
std::string to_html(const ScaleReport& report);

std::string to_text(const SizeAnswer& answer, const ScaleInputs& inputs);
Json to_json(const SizeAnswer& answer, const ScaleInputs& inputs, const Question& question);

// Parts that the renderings share.
/// What a curve shows, a sentence each: knee, end of pure FSDP, end of the sequences, batch.
std::vector<std::string> findings(const ScaleCurve& curve, const ScaleInputs& inputs);
/// "power", "money", ...: what was assumed, with sources.
std::vector<std::string> assumptions(const ScaleInputs& inputs);
Json point_json(const ScalePoint& point, const SearchQuestion& asked);
Json inputs_json(const ScaleInputs& inputs);
std::string days(double seconds);
std::string watts(double w);
std::string energy(double kwh);

}  // namespace meshplan::report
