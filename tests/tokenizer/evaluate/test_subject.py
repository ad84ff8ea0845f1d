def test_pca_computes_on_the_cpu_whatever_the_placement(subject):
    assert (subject().device, subject().precision) == ("cpu", "fp64")
    assert subject().codebook == 64000
