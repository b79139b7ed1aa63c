// SPDX-License-Identifier: Apache-2.0
// Which commands are there? One file per command, planner/cli/<command>.cpp.
#pragma once
#include <string>
#include <vector>

namespace meshplan::cli {

using Arguments = std::vector<std::string>;  ///< what follows the command's name

struct Command {
  const char* name;
  const char* question;                    ///< that it answers
  int (*run)(const Arguments& arguments);  ///< returns the exit code
};

int run_launch(const Arguments& arguments);
int run_check(const Arguments& arguments);
int run_import(const Arguments& arguments);
int run_import_pbg(const Arguments& arguments);
int run_launch_pbg(const Arguments& arguments);
int run_plan_graph(const Arguments& arguments);
int run_explain(const Arguments& arguments);
int run_compare(const Arguments& arguments);
int run_validate(const Arguments& arguments);
int run_validate_run(const Arguments& arguments);
int run_validate_graph(const Arguments& arguments);
int run_rank_graph(const Arguments& arguments);  ///< of meshplan-rank
int run_validate_refit(const Arguments& arguments);
int run_validate_time(const Arguments& arguments);
int run_profile(const Arguments& arguments);
int run_profile_import(const Arguments& arguments);
int run_list(const Arguments& arguments);
int run_show(const Arguments& arguments);
int run_plan(const Arguments& arguments);
int run_scale(const Arguments& arguments);
int run_size(const Arguments& arguments);
int run_simulate(const Arguments& arguments);

}  // namespace meshplan::cli
