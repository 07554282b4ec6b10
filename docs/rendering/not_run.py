"""What could not be run where the results were made, and what stands in for it."""
# ruff: noqa: E501

NOT_RUN = """
## What could not be run here

The machine that all of this was made on has two cores, no GPU, and no network but package registries.

| not run | what stands in for it |
|---|---|
| CLIP's real weights, image and text towers | Real embeddings that others computed with these weights and published. The loading code runs on small networks that open_clip made and saved, and gives open_clip's own embeddings ([tests/models](../tests/models), [words.md](words.md#what-was-run-and-with-what)). |
| the paper's data sets: ImageNet's images, Oxford-IIIT Pets, Caltech101, Tiny-ImageNet, Food101 | Embeddings of 1,400 ImageNet images of the 200 held-out classes, and the test splits of Oxford Flowers, UCF101 and FGVC-Aircraft ([paper.md](paper.md)). |
| ViT-L/14@336px on the paper's data sets | 544 news images through ViT-L/14@336px, and 200 photographs of objects through ViT-L/14 ([profiles.md](profiles.md#openai-vit-l-14-336predictive)). |
| accuracy against pixel codecs (Figure 6) | It needs images and CLIP's weights. The command, and its tests on a small network ([paper.md](paper.md#figure-6-against-pixel-codecs)). |
| CompressAI's weights (Cheng2020-anchor, bmshj2018-hyperprior) | The command reads them where they are; nothing was measured with them. |
| ClipCap's and GPT-2's real weights | A small GPT-2 that the tests train, and state dicts of the real size with random weights ([captions.md](captions.md#what-was-run-and-what-was-not)). No quality of captions is claimed. |
| SAM's real weights | Mask generation by small random networks, against transformers' own masks ([pointing.md](pointing.md#what-to-expect)). How well things are found is not claimed. |
| a GPU | All figures are of the CPU, but for the first phase of training of `openai-vit-b-32/predictive`, which ran elsewhere on one GPU ([training.md](training.md)). `--device cuda` and half precision were run on the CPU only ([images-at-scale.md](images-at-scale.md)). |
| several machines | Ray's local cluster with several processes ([tests/integrations](../tests/integrations)). |
| Windows and macOS | Nothing: all tests run on Linux. On x86-64 and, emulated, s390x the results are the same ([testing.md](testing.md#the-same-result-on-other-machines)). |
"""
