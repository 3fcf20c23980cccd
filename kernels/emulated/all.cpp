// # The emulated device, in one piece
//
// Compiled once for each build, in a third of the time that its parts would take. It must be linked
// before kernels: of equal functions, such as those of std::vector, the linker keeps the first, and
// those in the kernels' objects tell the check build of each access that they make.

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
