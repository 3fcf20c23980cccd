// # The check build's judgement

#include "machine.h"

namespace emulated {

void checkLaunch() {}
void checkBlock() {}
void checkAccess(Thread&, const void*, size_t, bool, const void*, Site) {}
void checkAtomic(Thread&, const void*, size_t, Site) {}
void checkCopy(Thread&, const void*, size_t, Site) {}
void checkMeeting(Thread* const*, size_t) {}
void checkBarrier() {}
void checkLanded(Thread&) {}

}  // namespace emulated
