// # Linear map
//
// y = x·wᵀ + b;  dx = dy·w;  dw = dyᵀ·x;  db = Σ dy over the rows. All but the last are the
// matrix product of gemm.cpp, with its order of summation; db is that of reduceSum over rows.
//
// Multiply-adds: rows · in · out for each. For few rows the weight's bytes dominate: it is read once.

#include "gemm.h"
#include "ops.h"
#include "reduce.h"

namespace convnotes::CN_ISA {

namespace {

struct Sizes {
  int64_t rows, in, out;
};

/** Checks x (or dx) `[*, in]`, w (or dw) `[out, in]` and y (or dy) `[*, out]`. */
Sizes sizesOf(const Call& call, const Operand& x, const Operand& w, const Operand& y) {
  call.wantAxes(w, 2, "weight");
  require(x.axes >= 1 && x.shape[x.axes - 1] == w.shape[1],
          "input " + x.show() + " and weight " + w.show() + " do not go together");
  std::vector<int64_t> shape(x.shape, x.shape + x.axes - 1);
  shape.push_back(w.shape[0]);
  call.want(y, shape, "output");
  return {x.size(0, x.axes - 1), w.shape[1], w.shape[0]};
}

Matrix rowMajor(const Operand& t, int64_t columns) { return {t.floats(), columns, 1}; }
Matrix transposed(const Operand& t, int64_t columns) { return {t.floats(), 1, columns}; }

}  // namespace

void linear(Call& call) {
  const Operand &x = call.input(0), &w = call.input(1), &b = call.optional(2), &y = call.output(0);
  call.wantNo("activation");
  const Sizes s = sizesOf(call, x, w, y);
  call.want(b, {s.out}, "bias");
  multiply(call.pool, {s.rows, s.out, s.in, rowMajor(x, s.in), transposed(w, s.in), y.floats(), s.out,
                       1, b ? b.floats() : nullptr});
}

void linear_backward_input(Call& call) {
  const Operand &dy = call.input(0), &w = call.input(1), &dx = call.output(0);
  call.wantNo("activation");
  const Sizes s = sizesOf(call, dx, w, dy);
  multiply(call.pool, {s.rows, s.in, s.out, rowMajor(dy, s.out), rowMajor(w, s.in), dx.floats(), s.in,
                       1, nullptr});
}

void linear_backward_weight(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &dw = call.output(0);
  const Sizes s = sizesOf(call, x, dw, dy);
  multiply(call.pool, {s.out, s.in, s.rows, transposed(dy, s.out), rowMajor(x, s.in), dw.floats(),
                       s.in, 1, nullptr});
}

void linear_backward_bias(Call& call) {
  const Operand &dy = call.input(0), &db = call.output(0);
  require(dy.axes >= 1, "dy must have an axis");
  const int64_t out = dy.shape[dy.axes - 1];
  call.want(db, {out}, "dbias");
  sumRows(call.pool, dy.floats(), dy.size(0, dy.axes - 1), out, db.floats());
}

}  // namespace convnotes::CN_ISA
