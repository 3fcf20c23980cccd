#include "dispatch.h"

namespace convnotes {

std::vector<InstructionSet> instructionSets() {
  std::vector<InstructionSet> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) found.push_back({"avx512", &avx512::kernels});
  if (avx2) found.push_back({"avx2", &avx2::kernels});
  found.push_back({"sse2", &portable::kernels});
#else
  found.push_back({"neon", &portable::kernels});
#endif
  return found;
}

}  // namespace convnotes
