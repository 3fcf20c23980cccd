// # The emulated device, in one piece
//
// Compiled once for each build: a fifth of the time that its parts would take.

#include "check.cpp"
#include "fibers.cpp"
#include "hopper.cpp"
#include "instructions.cpp"
#include "meet.cpp"
#include "memory.cpp"
#include "schedule.cpp"
#include "streams.cpp"
#if EMULATED_CHECK
#include "hooks.cpp"
#endif
