// # Modules of other packages, in Python
//
// What PyTorch, torchvision and the d2l course build from layers is built here from the same layers,
// so that their parts are counted and shown like the user's own. It is our own wording of what their
// documentation says, and runs in the same interpreter.

/** Python source by the name of the package that has what it defines. */
export const library: ReadonlyMap<string, string> = new Map([
  [
    "torch.nn",
    `
import torch
from torch import nn
import torch.nn.functional as F
from copy import deepcopy

def _function(activation):
    return getattr(F, activation) if isinstance(activation, str) else activation

class TransformerEncoderLayer(nn.Module):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1, activation="relu",
                 layer_norm_eps=1e-05, batch_first=False, norm_first=False, bias=True,
                 device=None, dtype=None):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first)
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias=bias)
        self.norm_first = norm_first
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.activation = _function(activation)

    def _attend(self, x):
        return self.dropout1(self.self_attn(x, x, x, need_weights=False)[0])

    def _feed(self, x):
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        if self.norm_first:
            x = src + self._attend(self.norm1(src))
            return x + self._feed(self.norm2(x))
        x = self.norm1(src + self._attend(src))
        return self.norm2(x + self._feed(x))

class TransformerDecoderLayer(nn.Module):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1, activation="relu",
                 layer_norm_eps=1e-05, batch_first=False, norm_first=False, bias=True,
                 device=None, dtype=None):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first)
        self.multihead_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first)
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias=bias)
        self.norm_first = norm_first
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm3 = nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.dropout3 = nn.Dropout(dropout)
        self.activation = _function(activation)

    def _attend(self, x):
        return self.dropout1(self.self_attn(x, x, x, need_weights=False)[0])

    def _look(self, x, memory):
        return self.dropout2(self.multihead_attn(x, memory, memory, need_weights=False)[0])

    def _feed(self, x):
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def forward(self, tgt, memory, *masks, **more):
        if self.norm_first:
            x = tgt + self._attend(self.norm1(tgt))
            x = x + self._look(self.norm2(x), memory)
            return x + self._feed(self.norm3(x))
        x = self.norm1(tgt + self._attend(tgt))
        x = self.norm2(x + self._look(x, memory))
        return self.norm3(x + self._feed(x))

class TransformerEncoder(nn.Module):
    def __init__(self, encoder_layer, num_layers, norm=None, enable_nested_tensor=True, mask_check=True):
        super().__init__()
        self.layers = nn.ModuleList([deepcopy(encoder_layer) for _ in range(num_layers)])
        self.norm = norm

    def forward(self, src, *masks, **more):
        for layer in self.layers:
            src = layer(src)
        return src if self.norm is None else self.norm(src)

class TransformerDecoder(nn.Module):
    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = nn.ModuleList([deepcopy(decoder_layer) for _ in range(num_layers)])
        self.norm = norm

    def forward(self, tgt, memory, *masks, **more):
        for layer in self.layers:
            tgt = layer(tgt, memory)
        return tgt if self.norm is None else self.norm(tgt)

class Transformer(nn.Module):
    def __init__(self, d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6,
                 dim_feedforward=2048, dropout=0.1, activation="relu", custom_encoder=None,
                 custom_decoder=None, layer_norm_eps=1e-05, batch_first=False, norm_first=False,
                 bias=True, device=None, dtype=None):
        super().__init__()
        common = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)
        norm = lambda: nn.LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.encoder = custom_encoder or TransformerEncoder(TransformerEncoderLayer(*common), num_encoder_layers, norm())
        self.decoder = custom_decoder or TransformerDecoder(TransformerDecoderLayer(*common), num_decoder_layers, norm())

    def forward(self, src, tgt, *masks, **more):
        return self.decoder(tgt, self.encoder(src))
`,
  ],
  [
    "torchvision.ops",
    `
import torch
from torch import nn

class StochasticDepth(nn.Module):
    def __init__(self, p, mode):
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input):
        return input

    def __repr__(self):
        return f"StochasticDepth(p={self.p}, mode={self.mode})"

class _ConvNormActivation(nn.Sequential):
    def __init__(self, convolution, in_channels, out_channels, kernel_size=3, stride=1, padding=None,
                 groups=1, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU, dilation=1,
                 inplace=True, bias=None):
        def same(size, apart):
            return (size - 1) // 2 * apart
        if padding is None:
            if isinstance(kernel_size, int) and isinstance(dilation, int):
                padding = same(kernel_size, dilation)
            else:
                axes = len(kernel_size) if isinstance(kernel_size, (list, tuple)) else len(dilation)
                sizes = kernel_size if isinstance(kernel_size, (list, tuple)) else [kernel_size] * axes
                steps = dilation if isinstance(dilation, (list, tuple)) else [dilation] * axes
                padding = tuple(same(k, d) for k, d in zip(sizes, steps))
        if bias is None:
            bias = norm_layer is None
        parts = [convolution(in_channels, out_channels, kernel_size, stride, padding,
                             dilation=dilation, groups=groups, bias=bias)]
        if norm_layer is not None:
            parts.append(norm_layer(out_channels))
        if activation_layer is not None:
            parts.append(activation_layer() if inplace is None else activation_layer(inplace=inplace))
        super().__init__(*parts)
        self.out_channels = out_channels

class Conv2dNormActivation(_ConvNormActivation):
    def __init__(self, *args, **kwargs):
        super().__init__(nn.Conv2d, *args, **kwargs)

class SqueezeExcitation(nn.Module):
    def __init__(self, input_channels, squeeze_channels, activation=nn.ReLU, scale_activation=nn.Sigmoid):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input):
        scale = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(scale)) * input

class MLP(nn.Sequential):
    def __init__(self, in_channels, hidden_channels, norm_layer=None, activation_layer=nn.ReLU,
                 inplace=None, bias=True, dropout=0.0):
        more = {} if inplace is None else {"inplace": inplace}
        parts = []
        for width in hidden_channels[:-1]:
            parts.append(nn.Linear(in_channels, width, bias=bias))
            if norm_layer is not None:
                parts.append(norm_layer(width))
            parts.append(activation_layer(**more))
            parts.append(nn.Dropout(dropout, **more))
            in_channels = width
        parts.append(nn.Linear(in_channels, hidden_channels[-1], bias=bias))
        parts.append(nn.Dropout(dropout, **more))
        super().__init__(*parts)

class Permute(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return torch.permute(x, self.dims)
`,
  ],
  [
    "argparse",
    `
class Namespace:
    def __init__(self, **kwargs):
        for name, value in kwargs.items():
            setattr(self, name, value)

class ArgumentParser:
    def __init__(self, *args, **kwargs):
        self.options = {}

    def add_argument(self, *names, default=None, type=None, action=None, dest=None, **kwargs):
        long = [name for name in names if name.startswith("--")]
        name = dest or (long or list(names))[0].lstrip("-").replace("-", "_")
        if action == "store_true" or action == "store_false":
            default = action == "store_false"
        elif isinstance(default, str) and type is not None:
            default = type(default)
        self.options[name] = default

    def add_argument_group(self, *args, **kwargs):
        return self

    def set_defaults(self, **kwargs):
        self.options.update(kwargs)

    def parse_args(self, *args):
        return Namespace(**self.options)

    def parse_known_args(self, *args):
        return self.parse_args(), []
`,
  ],
  [
    "d2l.torch",
    `
import torch
from torch import nn

def add_to_class(Class):
    def wrapper(obj):
        setattr(Class, obj.__name__, obj)
    return wrapper

class HyperParameters:
    pass

class Module(nn.Module):
    def forward(self, X):
        return self.net(X)

    def apply_init(self, inputs, init=None):
        self.forward(*inputs)
        return self

class Classifier(Module):
    def layer_summary(self, X_shape):
        self(torch.randn(*X_shape))

class Residual(nn.Module):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1)
        if use_1x1conv:
            self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides)
        else:
            self.conv3 = None
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()

    def forward(self, X):
        Y = torch.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        return torch.relu(Y + X)
`,
  ],
]);
