// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/run_flags.hpp"

namespace meshplan::cli {

void add_run_flags(CLI::App& app, RunFlags& flags) {
  const char* group = "Run";
  const auto add = [&](const char* name, auto& to, const char* about) {
    return app.add_option(name, to, about)->group(group);
  };
  add("--steps", flags.steps, "optimizer steps (5)")->check(CLI::PositiveNumber);
  add("--seed", flags.seed, "of random weights and tokens (1)");
  add("--learning-rate", flags.learning_rate, "of AdamW (3e-4), after the warm-up a cosine");
  add("--warmup", flags.warmup, "steps of warm-up (0)");
  add("--clip", flags.clip, "largest gradient norm (1); 0: no clipping");
  add("--workers", flags.workers, "threads of each rank's kernels (1)")->check(CLI::PositiveNumber);
  add("--routing-group", flags.routing_group,
      "experts take a fixed number of each so many tokens; 0: of all that a rank routes");
  app.add_flag("--dropless", flags.dropless,
               "experts have room for every token; communication and memory are then the bound")
      ->group(group);
  add("--timeout", flags.timeout_s, "seconds to wait for a rank (60)")->check(CLI::PositiveNumber);
  add("--weights", flags.weights, "folder with model.safetensors as HF keeps it; else random");
  CLI::Option* text = add("--text", flags.text, "train on this file, a token per byte");
  CLI::Option* tokens = add("--tokens", flags.tokens,
                            "train on this file of token numbers; without a file random ones");
  tokens->excludes(text);
  add("--token-format", flags.token_format,
      "uint16 or uint32, little endian (uint16 for at most 65,536 words)")
      ->check(CLI::IsMember({"uint16", "uint32"}))
      ->needs(tokens);
  CLI::Option* checkpoints =
      add("--checkpoints", flags.checkpoints, "folder to keep the state in after the last step");
  add("--save-every", flags.save_every, "also after so many steps each")->needs(checkpoints);
  add("--export", flags.export_folder,
      "folder for config.json and model.safetensors after the last step, as HF reads them")
      ->needs(checkpoints);
  app.add_flag("--resume", flags.resume, "go on from the latest complete checkpoint there")
      ->needs(checkpoints)
      ->group(group);
  add("--device", flags.device, "cpu or cuda (cpu)")->check(CLI::IsMember({"cpu", "cuda"}));
  add("--compute", flags.compute,
      "products in fp32, bf16 or fp8 (fp32; on GPUs bf16, or the plan's fp8); bf16 and fp8 with "
      "the "
      "plan's gradients and fp32 masters")
      ->check(CLI::IsMember({"fp32", "bf16", "fp8"}));
  add("--gpu", flags.gpu,
      "ranks share one, or each has its own and NCCL (own, where there are enough)")
      ->check(CLI::IsMember({"shared", "own"}));
  app.add_flag("--deterministic", flags.deterministic,
               "on GPUs: attention gives the same bits every time, and is slower")
      ->group(group);
  add("--profile", flags.profile, "CPU profile that predicts the time, see 'meshplan profile'");
}

Status apply_run_flags(const RunFlags& flags, RunQuestion& run) {
  run.options.steps = flags.steps;
  run.options.initial.seed = static_cast<uint64_t>(flags.seed);
  run.options.adamw.learning_rate = flags.learning_rate;
  run.options.clip_norm = flags.clip;
  run.options.warmup_steps = flags.warmup;
  run.options.decay_steps = flags.warmup > 0 ? flags.steps - flags.warmup : 0;
  run.options.workers = static_cast<int>(flags.workers);
  run.options.routing_group = flags.routing_group;
  run.dropless = flags.dropless;
  if (flags.device == "cuda") {
    run.gpu.emplace();
    run.gpu->device.deterministic = flags.deterministic;
    if (!flags.gpu.empty()) {
      run.gpu->share = flags.gpu == "own" ? GpuRun::Share::one_each : GpuRun::Share::one_gpu;
    }
  }
  run.compute = DType::fp32;
  if (flags.compute.empty() && run.gpu) {
    run.compute = run.plan.compute == DType::fp8 ? DType::fp8 : DType::bf16;
  }
  for (const DType type : {DType::bf16, DType::fp8}) {
    if (flags.compute == name_of(type)) run.compute = type;
  }
  run.world.timeout_s = flags.timeout_s;
  run.hf_folder = flags.weights;
  run.token_file = flags.text.empty() ? flags.tokens : flags.text;
  if (!flags.tokens.empty()) {
    const bool narrow =
        flags.token_format.empty() ? run.model.vocabulary <= 65536 : flags.token_format == "uint16";
    run.token_format = narrow ? TokenFormat::uint16 : TokenFormat::uint32;
  }
  run.checkpoints = flags.checkpoints;
  run.resume = flags.resume;
  run.save_every = flags.save_every;
  run.export_folder = flags.export_folder;
  if (!flags.profile.empty()) {
    MESHPLAN_TRY(run.profile, read_cpu_profile(flags.profile));
  }
  return Done{};
}

}  // namespace meshplan::cli
