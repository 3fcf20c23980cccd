// # All kernels for one instruction set
//
// The build compiles this file once for each instruction set that a processor of the kind may have. One
// file instead of thirty saves the compiler from reading the same headers over and over.

#include "adam.cpp"
#include "adaptive_avg_pool2d.cpp"
#include "add.cpp"
#include "argmax.cpp"
#include "avg_pool2d.cpp"
#include "batch_norm.cpp"
#include "blocked_batch_norm.cpp"
#include "blocked_conv2d.cpp"
#include "blocked_layout.cpp"
#include "blocked_pool2d.cpp"
#include "concat.cpp"
#include "conv2d.cpp"
#include "cross_entropy.cpp"
#include "dispatch.h"
#include "dropout.cpp"
#include "gather_images.cpp"
#include "gemm.cpp"
#include "linear.cpp"
#include "log_softmax.cpp"
#include "matmul.cpp"
#include "max.cpp"
#include "max_pool2d.cpp"
#include "mean.cpp"
#include "mul.cpp"
#include "narrow.cpp"
#include "pad.cpp"
#include "permute.cpp"
#include "relu.cpp"
#include "sgd.cpp"
#include "sigmoid.cpp"
#include "softmax.cpp"
#include "sum.cpp"
#include "tanh.cpp"
#include "thin_linear.cpp"
#include "tile.cpp"
#include "winograd_conv2d.cpp"

namespace convnotes::CN_ISA {

const Kernels kernels{{
#define OP(name) {#name, name},
#include "../ops.def"
                      },
                      {
#include "../fused.def"
#undef OP
                      }};

}  // namespace convnotes::CN_ISA
