import { add, nn, relu, type Tensor } from "convnotes";

class Block extends nn.Module {
  readonly conv1 = new nn.Conv2d(16, 16, 3, { padding: 1 });
  readonly conv2 = new nn.Conv2d(16, 16, 3, { padding: 1 });

  override forward(x: Tensor): Tensor {
    const y = relu(this.conv1.call(x));
    return relu(add(this.conv2.call(y), x));
  }
}

export class Small extends nn.Module {
  readonly stem = new nn.Conv2d(1, 16, 3, { stride: 2, padding: 1 });
  readonly body = new nn.Sequential(new Block(), new Block());
  readonly flat = new nn.Flatten();
  readonly head = new nn.Linear(16 * 14 * 14, 10);

  override forward(x: Tensor): Tensor {
    const y = this.body.call(this.stem.call(x));
    return this.head.call(this.flat.call(y));
  }
}
