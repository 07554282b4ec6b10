"""Claims that no kept command makes: measured once, or by others."""
# ruff: noqa: E501

from __future__ import annotations

from .claim import listed

ALONE = "single runs while the recipe was found; no kept script"
STORY = "experiments while the codec was made; no kept script"
HAND = "by hand"

ONCE = listed({
    "docs/benchmarks.md": [
        ("So at 16 bytes faiss's local search quantiser keeps more of an image's likeness to other "
         "images, though less of what texts tell apart", "a reading of the tables"),
        ("A quarter of our 16 bytes is header, check value and ending",
         "docs/results/overhead.json, of all sizes about the same"),
        ("From 25 bytes on, what others win is within the chance of these test sets, where one image "
         "of ImageNet is 0.07 points", "a reading of the table; 1 of 1,400"),
    ],
    "docs/choosing-a-rate.md": [
        ("As a guide: below .95 an embedding is only roughly right, at .97 most decisions stay the "
         "same, from .99 on few uses show a difference", "a reading of the tables"),
    ],
    "docs/effort.md": [
        ("So 5 is a good choice where time allows it. Above 7 others", "a reading of the table"),
    ],
    "docs/how-it-works.md": [
        ("what is cut off there costs up to 2 % of the bits", STORY),
        ("| idea | result |", STORY),
    ],
    "docs/images-at-scale.md": [
        ("some 300 bytes per image besides", HAND),
        ("a worker takes 5 ms to read, decode and resize a JPEG of 640 × 480, and 0.3 ms "
         "(`--quality`) to 3 ms (`--max-bytes`, `--min-cosine`) to encode its embedding at width 512",
         HAND),
        ("6 to 12 times as many operations of torch as encoding at a quality: 250,000 to 520,000 "
         "(43,000 at a quality) for each part of up to 65,536 rows", "counted by torch's dispatch mode"),
        ("At 5 µs each, that would be 1 to 3 seconds a part, and so 8,192 rows are an estimate",
         "the counts above times 5 µs"),
        ("takes some 40 µs per image besides the backbone", "tests/bench/images.py, main_us"),
        ("96 MB of pixels with 8 workers, at 224 × 224",
         "clipcodec/bulk/decoding.py: 10 batches of 64 images"),
        ("15 % of the values differed by one level, the largest difference was 4 of 255, and the "
         "lowest cosine of 27 images to their exact embedding was 0.999998", HAND),
        ("torchvision 0.29 says that a later release will have no such decoder",
         "its DeprecationWarning"),
        ("the lowest cosine of 32 images to their embedding in fp32 was 0.99994 with bf16 and "
         "0.999999 with fp16", HAND),
    ],
    "docs/inside-image-files.md": [
        ("grows by about 500 bytes for a stream of 50, or by 270 if it has XMP already", HAND),
        ("| tool | is the stream kept? |", "the tools named, by hand; exiftool also by "
         "tests/carriers/test_carriers.py"),
    ],
    "docs/mutation-testing.md": [
        ("constriction 0.5, measured when the coder", "mutmut, as the page says"),
        ("| module | mutants | killed | survived |", "mutmut, as the page says"),
        ("115 more mutants, of which 100 are killed. The others change names of types (3), `_BATCH` "
         "by one (3), `strict=` of a `zip` (3), leave out `axis=1` (2), sort a permutation, which has "
         "no ties, in another way (3), or halve frequencies before `constriction` scales them (1)",
         "a script, once"),
        ("| where | change | why it has no effect |", "mutmut, and reading"),
    ],
    "docs/profiles.md": [
        ("five to eight minutes on one core", HAND),
        ("1.995, 2.92, 3.88, 4.82, 5.86 and 9.54 bits of its 2, 3, 4, 5, 6 and 10", HAND),
    ],
    "docs/scores.md": [
        ("The order of images by an aesthetic score is kept well from 50 bytes on; a sharp limit on the "
         "score needs 100 or more. Do not look for generated pictures in streams of less than 250 "
         "bytes", "a reading of the table"),
        ("length of the raw embedding, which the data do not have; 20 is assumed",
         "clipcodec/evaluation/heads.py"),
    ],
    "docs/search-measured.md": [
        ("gains 0.2 and 0.3 points of recall at 25 and 50 bytes image → image and loses 0.1 at 100; "
         "text → image 1.2, 0.4 and 0.3", "an experiment; no kept script"),
        ("would gain 1.4, 1.4 and 0.6 image → image, and lose 0.9 text → image at 25",
         "an experiment; no kept script"),
    ],
    "docs/testing.md": [
        ("Before release 0.1.0 it was computed over levels in two's complement and did not: 1 in "
         "11,000 to 45,000 passed", "tests/bench/corruption.py, on the code before"),
        ("constriction 0.4.0 and safetensors 0.4.3; 3.11 and 3.13 with the newest of each",
         "tests/matrix.sh"),
        ("1, 2 and 8 threads, hash seeds 0, 1 and random", "tests/matrix.sh"),
        ("in all 27 runs, embeddings within 1.2e-7", "tests/matrix.sh"),
        ("within 6.6e-7 of x86", HAND),
        ("| inputs | what | failures |", "tests/fuzz, by the seeds that the page names"),
    ],
    "docs/recipes.md": [
        ("40,000 steps, ran on one GPU in four minutes; on two CPU cores a step takes about 0.4 s",
         HAND),
        ("The rest took 136 s on two cores", HAND),
        ("Cosine at 50 bytes of rows that no training has seen, after 50 seconds of one core in the "
         "first phase, whose steps differ in size (ImageNet's 200 held-out classes; flowers; sports):",
         ALONE),
        ("| units, rows per step, learning rate | steps | cosine |", ALONE),
        ("On the 17,161 rows of ViT-L/14, 96 units with a dropout of .2 or .5 and 256 units with .5 "
         "differ by .0003 on photographs of objects and by .003 on news pictures", ALONE),
        ("Shrinkage between .02 and .5 changes the cosine of unseen photographs by .001 at most", ALONE),
        ("had at 50 bytes", ALONE),
        ("| text weight | cosine | KL over ImageNet's class texts |",
         ALONE),
        ("Without networks (text weight 0.3): weighting rows by the square root of their group's size "
         "changes nothing; counting the 727 further rows five times gives objects +.005; shrinkage "
         "towards the covariance of the class texts, half, +.001 and news −.003", ALONE),
        ("Cosine at 400 bits on the rows of", ALONE),
        ("| what | cosine |", ALONE),
        ("And at 800 bits rank 3 and 2: .9849, .9853; at 1,200 bits .9927, .9925. In full runs of "
         "6,000 steps a learning rate of 2.5e-3 gave .9870 at 800 bits and .9938 at 1,200; 5e-3 gave "
         ".9865 and .9934.", ALONE),
        ("mixing training rows (gain 0), a second pass of the encoder over the symbols (diverged), "
         "coordinate search over the symbols after training (+.0016 in four passes", ALONE),
    ],
})  # fmt: skip

ELSEWHERE = listed({
    "docs/captions.md": [
        ("with norms of about 10 for ViT-B/32", "ClipCap's users; the page says so"),
        ("| weights | mapping network | embeddings | their norm in training |",
         "rmokady/CLIP_prefix_caption, its README and code"),
    ],
    "docs/paper.md": [
        ("by the nearest class mean of 16 examples a class", "the data set's own few-shot split"),
        ("Sizes that need 65,536 codewords", "arXiv 2509.05925, Figure 5"),
    ],
    "docs/pointing.md": [
        ("0.2 to 0.35 for a text that fits", "common experience with CLIP; not measured here"),
        ("(Media Fragments URI 1.0)", "the W3C's recommendation"),
    ],
    "docs/recipes.md": [
        ("the paper's β of 0.25", "arXiv 2509.05925, its published code"),
    ],
    "docs/words.md": [
        ("some 60 English words", "common experience with CLIP's tokenizer"),
    ],
})  # fmt: skip
