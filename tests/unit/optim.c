/* Schedules: the rate at each step. */
#include "optim.h"

#include "tap.h"

int
main(void)
{
	struct gv_schedule_law s = {GV_LINEAR, 10, 0, 110, 0};

	near(gv_schedule_at(&s, 0), 0.1, 1e-12, "warm-up starts at 1/n");
	near(gv_schedule_at(&s, 9), 1, 1e-12, "warm-up ends at the peak");
	near(gv_schedule_at(&s, 10), 1, 1e-12, "linear starts at the peak");
	near(gv_schedule_at(&s, 60), 0.5, 1e-12, "linear, half way");
	near(gv_schedule_at(&s, 110), 0, 1e-12, "linear ends at 0");
	near(gv_schedule_at(&s, 500), 0, 1e-12, "... and stays there");
	s.floor = 0.2;
	near(gv_schedule_at(&s, 60), 0.6, 1e-12, "half way to the floor");
	near(gv_schedule_at(&s, 110), 0.2, 1e-12, "the floor");
	s.kind = GV_COSINE;
	s.floor = 0;
	near(gv_schedule_at(&s, 35), 0.853553390593, 1e-9, "cosine, 1/4");
	near(gv_schedule_at(&s, 60), 0.5, 1e-12, "cosine, half way");
	s.kind = GV_CONSTANT;
	near(gv_schedule_at(&s, 109), 1, 1e-12, "constant");
	s.kind = GV_LINEAR;
	s.flat = 50;
	near(gv_schedule_at(&s, 59), 1, 1e-12, "flat before the fall");
	near(gv_schedule_at(&s, 85), 0.5, 1e-12, "then linear over the rest");
	s.warmup = 0;
	near(gv_schedule_at(&s, 0), 1, 1e-12, "without warm-up");
	return done();
}
