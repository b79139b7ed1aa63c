#pragma once
#include <cstdint>
#include <string>
namespace meshplan {
enum class ScheduleKind : uint8_t { gpipe, one_f_one_b, interleaved, zb_h1, zb_v, dualpipe };
const char* name_of(ScheduleKind kind);
struct ScheduleShape { ScheduleKind kind = ScheduleKind::one_f_one_b; int stages = 1, chunks = 1; int64_t micro_batches = 1; int group = 0; };
inline int virtual_stage(const ScheduleShape& s, int stage, int chunk) { return chunk * s.stages + stage; }
inline const char* name_of(ScheduleKind) { return "x"; }
}
