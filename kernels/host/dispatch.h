// # Which kernels this processor can run

#pragma once

#include <vector>

#include "call.h"

namespace convnotes {

struct Kernel {
  const char* name;
  void (*run)(Call&);
};

struct Kernels {
  /** One for each primitive of `ops.def`. */
  std::vector<Kernel> list;
  /** Those of `fused.def`, which only programs run. */
  std::vector<Kernel> fused;
};

struct InstructionSet {
  const char* name;
  const Kernels* kernels;
};

/** What this processor can run, the fastest first; never empty. */
std::vector<InstructionSet> instructionSets();

#define CN_DECLARE(isa)        \
  namespace isa {              \
  extern const Kernels kernels; \
  }
CN_DECLARE(portable)
#if defined(__x86_64__)
CN_DECLARE(avx2)
CN_DECLARE(avx512)
#endif
#undef CN_DECLARE

}  // namespace convnotes
