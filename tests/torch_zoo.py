"""Networks as people train them: PyTorch modules of every layer and activation, by name, with an input shape."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


def function(f, *modules):
    """A module from a function of its parts and the input."""

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(modules)

        def forward(self, x):
            return f(x, *self.parts)

    return Wrapped()


def randomised(module, seed=0):
    """Running statistics and affine norms away from their defaults."""
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in module.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1 and "weight" in name:
            parameter.data.copy_(torch.rand(parameter.shape, generator=generator) + 0.5)
    return module


def seq(*modules):
    torch.manual_seed(1)
    return nn.Sequential(*modules)


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.m, self.n = nn.BatchNorm2d(c), nn.BatchNorm2d(c)

    def forward(self, x):
        return F.silu(x + self.n(self.b(F.silu(self.m(self.a(x))))))


class Attention(nn.Module):
    """A small GPT block written by hand, with a causal mask as a buffer."""

    def __init__(self, n, d, heads):
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(d, 3 * d), nn.Linear(d, d), heads
        self.norm, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.Linear(2 * d, d)
        self.position = nn.Parameter(torch.randn(n, d) / 3)
        self.register_buffer("mask", torch.tril(torch.ones(n, n)))

    def forward(self, x):
        x = x + self.position
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm(x)).split(d, dim=2)
        q, k, v = (a.view(b, t, self.heads, d // self.heads).transpose(1, 2) for a in (q, k, v))
        scores = q @ k.transpose(-2, -1) / (d // self.heads) ** 0.5
        scores = scores.masked_fill(self.mask[:t, :t] == 0, float("-inf"))
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(x), approximate="tanh"))


def last_of(kind, **options):
    return function(lambda x, m: m(x)[0][:, -1], kind(3, 4, batch_first=True, **options))


def siren(x, a, b):
    return torch.sin(30 * b(torch.sin(30 * a(x))))


IMAGE = (1, 2, 6, 6)
LENET = lambda: seq(  # noqa: E731
    nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 5), nn.Tanh(), nn.AvgPool2d(2),
    nn.Flatten(), nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 10), nn.LogSoftmax(1),
)  # fmt: skip
ZOO = {
    "mlp": (lambda: seq(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)), (1, 5)),
    "unbatched mlp": (lambda: seq(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 3)), (5,)),
    "gelu": (lambda: seq(nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 3)), (1, 5)),
    "gelu with tanh": (lambda: seq(nn.Linear(5, 8), nn.GELU("tanh"), nn.Linear(8, 3)), (1, 5)),
    "silu": (lambda: seq(nn.Linear(5, 8), nn.SiLU(), nn.Linear(8, 3)), (1, 5)),
    "mish": (lambda: seq(nn.Linear(5, 8), nn.Mish(), nn.Linear(8, 3)), (1, 5)),
    "softplus": (lambda: seq(nn.Linear(5, 8), nn.Softplus(), nn.Linear(8, 3)), (1, 5)),
    "softplus with beta": (lambda: seq(nn.Linear(5, 8), nn.Softplus(beta=2.5), nn.Linear(8, 3)), (1, 5)),
    "log-sigmoid": (lambda: seq(nn.Linear(5, 8), nn.LogSigmoid(), nn.Linear(8, 3)), (1, 5)),
    "tanhshrink": (lambda: seq(nn.Linear(5, 8), nn.Tanhshrink(), nn.Linear(8, 3)), (1, 5)),
    "erf, atan, exp": (lambda: function(lambda x: torch.erf(x) + torch.atan(x) * torch.exp(-x)), (1, 5)),
    "cos and square": (lambda: function(lambda x: torch.cos(x) - x.square() + x**3), (1, 5)),
    "gaussian": (lambda: function(lambda x, a: torch.exp(-(a(x) ** 2)), nn.Linear(5, 3)), (1, 5)),
    "siren": (lambda: function(siren, nn.Linear(2, 8), nn.Linear(8, 1)), (1, 2)),
    "softmax head": (lambda: seq(nn.Linear(5, 4), nn.Softmax(dim=1)), (1, 5)),
    "softmin": (lambda: seq(nn.Linear(5, 4), nn.Softmin(dim=1)), (1, 5)),
    "log-sum-exp": (lambda: function(lambda x: torch.logsumexp(x, 1, keepdim=True) * x), (1, 5)),
    "glu": (lambda: function(lambda x: x[:, :3] * torch.sigmoid(x[:, 3:])), (1, 6)),
    "dropout": (lambda: seq(nn.Linear(5, 8), nn.Dropout(0.5), nn.Tanh(), nn.Identity()), (1, 5)),
    "lenet": (LENET, (1, 1, 12, 12)),
    "strides and dilation": (lambda: seq(nn.Conv2d(2, 4, 3, (2, 1), (1, 2), (1, 2), groups=2), nn.Tanh()), IMAGE),
    "same padding": (lambda: seq(nn.Conv2d(2, 3, 4, padding="same"), nn.Tanh()), IMAGE),
    "conv1d": (lambda: seq(nn.Conv1d(2, 4, 3), nn.GELU(), nn.AvgPool1d(2), nn.Conv1d(4, 1, 1)), (1, 2, 9)),
    "conv3d": (lambda: seq(nn.Conv3d(1, 2, 2), nn.SiLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()), (1, 1, 3, 4, 3)),
    "transposed": (lambda: seq(nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), nn.Tanh()), (1, 2, 3, 4)),
    "transposed groups": (lambda: seq(nn.ConvTranspose1d(4, 4, 3, 2, groups=2, dilation=2), nn.Tanh()), (1, 4, 5)),
    "pools": (lambda: seq(nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AdaptiveAvgPool2d((2, None))), IMAGE),
    "ceil": (lambda: seq(nn.AvgPool2d(4, 3, ceil_mode=True), nn.Tanh()), IMAGE),
    "depthwise separable": (lambda: seq(nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(2, 5, 1), nn.Mish()), IMAGE),
    "resnet": (lambda: randomised(seq(nn.Conv2d(2, 3, 1), Residual(3), Residual(3))), IMAGE),
    "batch norm 1d": (lambda: randomised(seq(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh())), (1, 5)),
    "layer norm": (lambda: randomised(seq(nn.Linear(5, 8), nn.LayerNorm(8), nn.GELU())), (1, 5)),
    "rms norm": (lambda: randomised(seq(nn.Linear(5, 8), nn.RMSNorm(8, eps=1e-6))), (1, 5)),
    "group norm": (lambda: randomised(seq(nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4), nn.SiLU())), IMAGE),
    "instance norm": (lambda: seq(nn.InstanceNorm2d(2), nn.Conv2d(2, 1, 3)), IMAGE),
    "norm by hand": (
        lambda: function(lambda x: (x - x.mean(1, True)) / torch.sqrt(x.var(1, unbiased=False, keepdim=True) + 1e-4)),
        (1, 5),
    ),
    "rms by hand": (lambda: function(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-4)), (1, 5)),
    "weight norm": (lambda: seq(nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)), nn.Tanh()), (1, 5)),
    "rnn": (lambda: last_of(nn.RNN), (1, 4, 3)),
    "gru": (lambda: last_of(nn.GRU, num_layers=2), (1, 4, 3)),
    "lstm": (lambda: last_of(nn.LSTM, bidirectional=True), (1, 4, 3)),
    "lstm states": (lambda: function(lambda x, m: m(x)[1][1], nn.LSTM(3, 2)), (4, 1, 3)),
    "lstm cell": (lambda: function(lambda x, m: m(x, m(x))[0], nn.LSTMCell(3, 2)), (1, 3)),
    "gru cell": (lambda: function(lambda x, m: m(x, m(x)), nn.GRUCell(3, 2)), (1, 3)),
    "multi-head": (
        lambda: function(lambda x, m: m(x, x, x)[0], nn.MultiheadAttention(6, 2, batch_first=True)),
        (1, 4, 6),
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 8, activation="gelu", batch_first=True), 2, enable_nested_tensor=False
        ),
        (1, 4, 6),
    ),
    "encoder, norm first": (
        lambda: nn.TransformerEncoderLayer(6, 2, 8, activation=F.silu, batch_first=True, norm_first=True),
        (1, 4, 6),
    ),
    "decoder": (
        lambda: function(
            lambda x, m: m(
                x[:, :3], x[:, 3:], tgt_mask=nn.Transformer.generate_square_subsequent_mask(3), tgt_is_causal=True
            ),
            nn.TransformerDecoderLayer(6, 2, 8, activation="gelu", batch_first=True),
        ),
        (1, 7, 6),
    ),
    "causal attention": (
        lambda: function(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
        (1, 2, 4, 3),
    ),
    "gpt block": (lambda: Attention(4, 6, 2), (1, 4, 6)),
    "moves": (
        lambda: function(
            lambda x: torch.cat([x.flip(1), x.roll(1, 2), F.pad(x, (1, 0))[..., :-1]], 1).transpose(1, 2)[:, ::2]
        ),
        (1, 2, 4),
    ),
    "paddings": (
        lambda: nn.Sequential(nn.ReflectionPad2d(1), nn.ZeroPad2d((1, 0, 2, 0)), nn.ConstantPad2d(1, 0.5), nn.Tanh()),
        (1, 1, 3, 3),
    ),
    "upsampled": (lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Tanh(), nn.ReplicationPad2d(1)), (1, 2, 2, 3)),
    "bilinear image": (lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Tanh()), (1, 2, 2, 3)),
    "aligned corners": (
        lambda: nn.Sequential(nn.Upsample((5, 4), mode="bilinear", align_corners=True), nn.Tanh()),
        (1, 1, 3, 2),
    ),
    "bicubic image": (lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="bicubic"), nn.Tanh()), (1, 1, 4, 3)),
    "linear signal": (lambda: nn.Sequential(nn.Upsample(7, mode="linear"), nn.Tanh()), (1, 2, 4)),
    "cumulative sums": (lambda: function(lambda x: torch.cumsum(x.tanh(), 1)), (1, 3, 2)),
    "gelu by hand": (lambda: function(lambda x: x * 0.5 * (1.0 + torch.erf(x / 2**0.5))), (1, 5)),
    "unfold": (lambda: function(lambda x: F.unfold(x, 2, padding=1).tanh()), (1, 2, 3, 3)),
    "gated": (lambda: nn.Sequential(nn.Linear(5, 6), nn.GLU()), (1, 5)),
    "chunks and stacks": (lambda: function(lambda x: torch.stack(x.chunk(2, 1), 2).tanh().unbind(2)[1]), (1, 4)),
    "class token": (lambda: function(lambda x: torch.cat([torch.ones(1, 1, 3), x], 1).softmax(1)), (1, 2, 3)),
    "shared layer": (lambda: function(lambda x, a: a(torch.tanh(a(torch.tanh(a(x))))), nn.Linear(4, 4)), (1, 4)),
    "bilinear": (lambda: function(lambda x, m: m(x[:, :2], x[:, 2:]), nn.Bilinear(2, 3, 4)), (1, 5)),
    "einsum": (lambda: function(lambda x: torch.einsum("bij,bik->bjk", x, x.tanh())), (1, 3, 2)),
}
