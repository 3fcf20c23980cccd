// # The table of networks, and what their pages say

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  modelNamed,
  models,
  NotesExample,
  type ShapeError,
  summarize,
  sum,
  VGG,
  zeros,
} from "convnotes";
import { projectRoot } from "../statements.js";

describe("models", () => {
  it("are found by name, and an unknown name gets the nearest", () => {
    assert.ok(models.length === 8);
    for (const model of models) assert.equal(modelNamed(model.name), model);
    assert.throws(
      () => modelNamed("lenett"),
      new RangeError(
        'there is no model "lenett". Did you mean "lenet"? Models: notes_example, lenet, ' +
          "lenet_bn, alexnet, vgg, nin, googlenet, resnet",
      ),
    );
  });

  it("are named as their files, which open with their titles", () => {
    for (const { name } of models) {
      const source = readFileSync(join(projectRoot, "reference/models", `${name}.ts`), "utf8");
      assert.match(source, /^\/\/ # \S.*\n\/\/\n\/\/ \S/);
    }
  });

  // ## Image sizes

  const fits = (name: string, size: number): boolean => {
    const { create, inputShape } = modelNamed(name);
    return summarize(create, [1, inputShape[0], size, size]).error === undefined;
  };

  for (const [name, least, most] of [
    ["notes_example", 30, 33],
    ["lenet", 28, 31],
    ["lenet_bn", 28, 31],
    ["alexnet", 193, 224],
    ["vgg", 224, 255],
  ] as const)
    it(`${name} takes images of ${least} to ${most} pixels, as its page says`, () => {
      const sizes = [least - 1, least, most, most + 1];
      assert.deepEqual(
        sizes.map((size) => fits(name, size)),
        [false, true, true, false],
      );
    });

  it("nin takes images from 67 pixels on, googlenet and resnet any, as their pages say", () => {
    assert.deepEqual(
      [66, 67, 300].map((size) => fits("nin", size)),
      [false, true, true],
    );
    for (const name of ["googlenet", "resnet"])
      for (const size of [1, 2, 33, 300]) assert.ok(fits(name, size), `${name} at ${size}`);
  });

  // ## Parts by name

  it("give access to parameters and gradients of their parts, with types", () => {
    const model = new NotesExample();
    const { weight } = model.classification[0];
    sum(model.call(zeros([1, 3, 32, 32]))).backward();
    assert.deepEqual(weight.grad?.shape, weight.shape);
    model.classification[0].weight.grad = null;
    assert.equal(weight.grad, null);
  });

  it("name the layer that does not fit, and how to mend it", () => {
    assert.throws(
      () => new NotesExample().call(zeros([1, 3, 28, 28])),
      (error: ShapeError) => {
        assert.equal(
          error.message,
          "classification.0 (Linear): linear: input [1, 576] has 576 features, but weight " +
            "[64, 1024] expects 1024; set in_features to 576",
        );
        assert.deepEqual([error.path, error.expected], ["classification.0", 576]);
        return true;
      },
    );
  });

  it("vgg has the blocks that conv_arch lists, for the image size and width that are asked", () => {
    const arch = [
      [1, 4],
      [3, 6],
    ] as const;
    const { rows, error } = summarize(
      () => new VGG(arch, { inChannels: 3, imageSize: 20, hidden: 7, dropout: 0.25 }),
      [2, 3, 20, 20],
    );
    assert.equal(error, undefined);
    const shapes = rows.filter((r) => r.parameters > 0).map((r) => [r.module, r.outputShape]);
    assert.deepEqual(shapes, [
      ["Conv2d", [2, 4, 20, 20]],
      ["Conv2d", [2, 6, 10, 10]],
      ["Conv2d", [2, 6, 10, 10]],
      ["Conv2d", [2, 6, 10, 10]],
      ["Linear", [2, 7]],
      ["Linear", [2, 7]],
      ["Linear", [2, 10]],
    ]);
  });
});
