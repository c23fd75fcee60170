"""Matrix product with a fused epilogue: bias and an activation that the caller passes in."""

import torch

import tilewright as tw


@tw.inline
def relu(x):
    """max(x, 0)"""
    return tw.maximum(x, 0.0)


@tw.inline
def silu(x):
    """x / (1 + exp(-x))"""
    return x * tw.sigmoid(x)


@tw.kernel
def linear(
    x: tw.Tensor,
    weight: tw.Tensor,
    bias: tw.Tensor | None,
    y: tw.Tensor,
    *,
    activation: tw.Static = None,
    bm: tw.Static = 64,
    bn: tw.Static = 64,
    bk: tw.Static = 32,
):
    """y[i, j] = activation(sum_k x[i, k] * weight[j, k] + bias[j])"""
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(weight.shape[0], bn))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, x.shape[1], bk, stages=3):
        left = tw.load(x, (i * bm, k), (bm, bk))
        right = tw.load(weight, (j * bn, k), (bn, bk))
        acc = tw.mma(left, right.T, acc)
    if bias is not None:
        acc = acc + tw.load(bias, (j * bn,), (bn,)).cast(tw.f32)[None, :]
    if activation is not None:
        acc = activation(acc)
    tw.store(y, (i * bm, j * bn), acc.cast(y.dtype))


def run(target: str | None = None) -> float:
    """The largest relative error over activations, with and without bias."""
    x, weight, bias = torch.randn(50, 70), torch.randn(90, 70), torch.randn(90)
    errors = []
    for activation, reference in (
        (relu, torch.relu),
        (silu, torch.nn.functional.silu),
        (None, None),
    ):
        for shift in (bias, None):
            y = torch.full((50, 90), float("nan"))
            linear(x, weight, shift, y, activation=activation, target=target)
            wanted = x.double() @ weight.double().T + (0 if shift is None else shift)
            wanted = wanted if reference is None else reference(wanted)
            errors.append(float((y - wanted).norm() / wanted.norm()))
    return max(errors)


if __name__ == "__main__":
    print(f"linear: relative error {run():.1e}")
