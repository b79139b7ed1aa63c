// SPDX-License-Identifier: Apache-2.0
// Which order does each schedule give one stage? Internal to this folder: make_schedule checks the
// shape first and is what others call.
#pragma once
#include "strategies/schedule/schedule.hpp"

namespace meshplan::orders {

StageSchedule gpipe(const ScheduleShape& shape);
StageSchedule one_f_one_b(const ScheduleShape& shape, int stage);
StageSchedule interleaved(const ScheduleShape& shape, int stage);
StageSchedule zb_h1(const ScheduleShape& shape, int stage);
StageSchedule zb_v(const ScheduleShape& shape, int stage);
StageSchedule dualpipe(const ScheduleShape& shape, int stage);

}  // namespace meshplan::orders
