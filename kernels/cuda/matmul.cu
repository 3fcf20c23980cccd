// # Matrix product
//
// y = a·b, by product.h, with its tiles and order of summation. Multiply-adds: M·K·N.

#include "product.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

void matmul(Call& call, Queue& queue) {
  const Operand &a = call.input(0), &b = call.input(1), &y = call.output(0);
  call.wantAxes(a, 2, "input");
  call.wantAxes(b, 2, "other");
  const int64_t M = a.shape[0], K = a.shape[1], N = b.shape[1];
  require(b.shape[0] == K, "input " + a.show() + " and other " + b.show() + " do not go together");
  call.want(y, {M, N}, "output");
  product<true, false>(call, queue, {a.floats(), static_cast<int>(K), static_cast<int>(M)},
                       {b.floats(), static_cast<int>(N), static_cast<int>(N)}, {}, y.floats(), K);
}

}  // namespace convnotes::gpu_rooms
