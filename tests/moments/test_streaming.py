import torch

from nmcheck.moments.streaming import JointMoments


def features(n: int, seed: int = 0) -> torch.Tensor:
    """Skewed and correlated, far from zero: 2 outputs with 3 features each."""
    normals = torch.randn(n, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 1000.0 + normals.cumsum(dim=2) + (normals**2).flip(2)


def test_batches_merge_to_the_moments_of_all() -> None:
    u = features(100)
    merged = JointMoments.of(u[:1])
    for batch in u[1:].split([2, 40, 57]):
        merged = merged.merged(JointMoments.of(batch))
    c = u - u.mean(0)
    assert merged.count == 100
    torch.testing.assert_close(merged.mean, u.mean(0), rtol=1e-14, atol=0)
    for d in range(2):
        for i in range(3):
            for j in range(3):
                torch.testing.assert_close(merged.second[d, i, j], (c[:, d, i] * c[:, d, j]).sum(), rtol=1e-11, atol=0)
                for k in range(3):
                    expected = (c[:, d, i] * c[:, d, j] * c[:, d, k]).sum()
                    torch.testing.assert_close(merged.third[d, i, j, k], expected, rtol=1e-10, atol=1e-9)


def test_a_combination_has_the_moments_of_the_combined_samples() -> None:
    u = features(50, seed=1)
    weights = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)
    found = JointMoments.of(u).combined(weights, torch.tensor([7.0, -1.0], dtype=torch.float64))
    direct = JointMoments.of(((u * weights).sum(2) + torch.tensor([7.0, -1.0], dtype=torch.float64))[:, :, None])
    for one, two in ((found.mean, direct.mean), (found.second, direct.second), (found.third, direct.third)):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)
