// # Linear map
//
// y = x·wᵀ + b;  dx = dy·w;  dw = dyᵀ·x;  db = Σ dy over the rows; and what follows y or dx
// (epilogue.h): inputs x, w, bias?, addend?, and dy, w, gate?, addend?. Parts of the statistics of y's columns
// can be left as output 1 (moments.h). All but db are the matrix product of product.h, where x and dy lie along
// K or across it as they are stored, so nothing is transposed. One block = one tile; db as in reduce.h, one thread
// = one part of a column.
//
// On Hopper x, dy or dyᵀ is packed and the weight, or x, is streamed (warpgroup.h): it is read once where
// mma.sync would read it, and packing adds 2/out or 2/in of the weight's bytes for each row.
//
// Multiply-adds: rows · in · out for each. For few rows the weight's bytes dominate: it is read once for
// every 64 of them, which at a batch of 128 is 16 multiply-adds for each byte of the weight.

#include "product.h"
#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct LinearSizes {
  int rows, in, out;
};

/** Checks x (or dx) `[*, in]`, w (or dw) `[out, in]` and y (or dy) `[*, out]`. */
LinearSizes linearSizes(const Call& call, const Operand& x, const Operand& w, const Operand& y) {
  call.wantAxes(w, 2, "weight");
  require(x.axes >= 1 && x.shape[x.axes - 1] == w.shape[1],
          "input " + x.show() + " and weight " + w.show() + " do not go together");
  std::vector<int64_t> shape(x.shape, x.shape + x.axes - 1);
  shape.push_back(w.shape[0]);
  call.want(y, shape, "output");
  return {static_cast<int>(x.size(0, x.axes - 1)), static_cast<int>(w.shape[1]),
          static_cast<int>(w.shape[0])};
}

}  // namespace

void linear(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &w = call.input(1), &b = call.optional(2), &y = call.output(0);
  const LinearSizes s = linearSizes(call, x, w, y);
  call.want(b, {s.out}, "bias");
  product<true, true>(call, queue, {x.floats(), s.in, s.rows}, {w.floats(), s.in, s.out},
                      forwardEpilogue(call, queue), y.floats(), s.in,
                      partsIn(call, call.optionalOutput(1), s.out, s.rows));
}

void linear_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &w = call.input(1), &dx = call.output(0);
  const LinearSizes s = linearSizes(call, dx, w, dy);
  product<true, false>(call, queue, {dy.floats(), s.out, s.rows}, {w.floats(), s.in, s.in},
                       backwardEpilogue(call, queue), dx.floats(), s.out);
}

void linear_backward_weight(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &x = call.input(1), &dw = call.output(0);
  const LinearSizes s = linearSizes(call, x, dw, dy);
  product<false, false>(call, queue, {dy.floats(), s.out, s.out}, {x.floats(), s.in, s.in}, {},
                        dw.floats(), s.rows);
}

void linear_backward_bias(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &db = call.output(0);
  require(dy.axes >= 1, "dy must have an axis");
  const int64_t out = dy.shape[dy.axes - 1];
  call.want(db, {out}, "dbias");
  Nest kept, gone;
  kept.add(out, 1, 0);
  gone.add(dy.size(0, dy.axes - 1), out, 0);
  float* scratch = static_cast<float*>(queue.scratch(reduceFloats(kept, gone) * 4));
  reduce<Adding>(call, queue, kept, gone, Element{dy.floats()}, Quotient{db.floats(), 1}, scratch);
}

}  // namespace convnotes::gpu_rooms
