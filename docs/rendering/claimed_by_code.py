"""Claims whose numbers the code, the format or a test decides. {} stands for a constant of the code."""
# ruff: noqa: E501

from __future__ import annotations

from .claim import listed

FORMAT, TRELLIS = "formats/clipcodec-1.md", "formats/trellis.md"
PREDICTIVE, PQVAE = "formats/predictive.md", "formats/pqvae.md"
STEERING, MEAN = "clipcodec/bulk/steering.py", "clipcodec/mean.py"
METRICS = "clipcodec/evaluation/metrics.py"
CARD = "docs/openai-vit-b-32.predictive.card.json"
TEST_SETS = "the test sets: 1,400, 2,463, 3,783 and 3,333 images"
HELD_OUT = "`class_is_val` of the data; clipcodec/evaluation/sets.py"
SHIPPED = "clipcodec/profile/shipped/openai-vit-b-32.predictive.safetensors"
SIZES = "clipcodec/evaluation/report.py, its sizes"
RECIPE = "docs/recipes.md, its commands"
OWN = "tests/bench/any_model.py"
SUMS = "arithmetic"
MODELS = "tests/models/test_"

BY_CODE = listed({
    "README.md": [
        ("a stream whose size you choose, from about 12 to 250 bytes", SIZES),
        ("`quality=` (1 to 100) sets it", "clipcodec/target.py"),
        ("10,979 embeddings of images never trained on", TEST_SETS),
    ],
    "docs/any-model.md": [
        ("| from | model | take | not |", f"{MODELS}transformers_models.py, test_timm_models.py, "
         "test_sentence_models.py"),
        ("what transformers 4 and 5 return", f"{MODELS}transformers_models.py"),
        ("SigLIP 2 of fixed and of free resolution", f"{MODELS}transformers_models.py"),
        ("SigLIP takes the last of 64 tokens, so texts must be filled up to 64",
         f"{MODELS}transformers_models.py"),
        ("timm gives DINOv2 pictures of 518 pixels", f"{MODELS}timm_models.py"),
        ("1,536 and 3,072 numbers are usual", f"{MODELS}text_rows.py"),
        ("the evaluation rows, of 512 numbers", TEST_SETS),
        ("with transformers 4.57 and 5.24", "the releases that the tests were run with"),
    ],
    "docs/application.md": [
        ("runs the backbone on {} images at a time", "clipcodec/towers.py:_IMAGES"),
        ("work on {} rows at a time in numpy", "clipcodec/batches.py:_ENCODED"),
    ],
    "docs/benchmarks.md": [
        ("ImageNet's 200 held-out classes", HELD_OUT),
        ("the synthesis, 512 × 512", SHIPPED),
        ("(2 GB, memory-mapped)", SUMS),
    ],
    "docs/browse.md": [
        ("the slider shows (12 to 250)", "tests/web/test_views.py"),
        ("at most 64 MB", "clipcodec/web/app.py"),
        ("or {} others were dropped", "clipcodec/web/views.py:_DROPS"),
    ],
    "docs/captions.md": [
        ("out of streams of at most 50 bytes", "tests/tasks/test_captioning.py"),
        ("| option | meaning |", "tests/cli/test_caption.py"),
    ],
    "docs/training-captioners.md": [
        ("| option | default | meaning |", "tests/tasks/test_captioning.py"),
        ("counted from 0", "tests/tasks/test_captioning.py"),
    ],
    "docs/choosing-a-rate.md": [
        ("The **5 %** column is the 5th percentile: one image in twenty", METRICS),
        ("One point is 14 images here", SUMS),
        ("header and check value take about four bytes: a quarter of 16 bytes, and hardly anything "
         "of 100", FORMAT),
        ("by the default profile, at 10 to 250 bytes", "docs/rendering/plots.py"),
    ],
    "docs/command-line.md": [
        ("**Exit code** 0: done; 1: some input failed and is named on stderr, and the others were "
         "processed (unless no backbone could be loaded); 2: the command line is wrong; 130: "
         "interrupted", "tests/cli/test_cli.py, tests/cli/test_compress_many.py"),
        ("| file | what is read |", "tests/test_arrays.py"),
        ("has 3.5 seconds", "clipcodec/models/hub.py"),
    ],
    "docs/containers.md": [
        ("[reader of 260 lines]", "formats/reference/container.py"),
        ("lost, at most {} items", "clipcodec/container/packing.py:BLOCK_ITEMS"),
        ("above 8,192 blocks, such as two million items make, only when it is closed",
         "clipcodec/container/growing.py:_SMALL_INDEX"),
        ("of 256 items, or of up to {} where small blocks would take an eighth of a\nbyte more",
         "clipcodec/container/packing.py:BLOCK_ITEMS"),
        ("takes 20 bytes, plus its distinct headers", "formats/container-1.md"),
        ("8 bytes per block", "formats/container-1.md"),
        ("at most 32 MiB", "clipcodec/container/embedded.py"),
    ],
    "docs/object-storage.md": [
        ("an answer such as 503 are\ntried again up to three times", "clipcodec/system/remote.py, clipcodec/system/stores.py"),
    ],
    "docs/figures/rate-distortion.md": [
        ("10,979 embeddings that none was trained on: 1,400 images of 200 ImageNet classes", TEST_SETS),
        ("where cosine ≈ 1 − E/2 for a squared error E", SUMS),
        ("**cosine, 5 %**: mean and 5th percentile", METRICS),
        ("among the 200 classes", HELD_OUT),
        ("cosines times 100", METRICS),
    ],
    "docs/glossary.md": [
        ("1 if they point the same way, near 0 if they have nothing in common", SUMS),
        ("ViT-B/32 has 512", "formats/README.md"),
    ],
    "docs/how-it-works.md": [
        ("‖x − x̂‖² = 2 − 2·cos(x, x̂)", SUMS),
        ("An error in a direction in which texts do not vary has weight 1 − g", SUMS),
        ("the first 6, the next 8, …", CARD),
        ("γ is near 0", "clipcodec/training/gains.py"),
        ("whole numbers up to ±255, hidden units 0 … 255, so that every partial sum stays below 2²⁴",
         PREDICTIVE),
        ("Float32 holds such sums", PREDICTIVE),
        ("with variance 1/D", SUMS),
        ("step Δ at the bit cost of step 2Δ", TRELLIS),
        ("one of {} classes of σ/Δ", "clipcodec/training/level_tables.py:CLASSES"),
        ("code lengths to 1/4096 bit", "clipcodec/kinds/trellis/tables.py"),
        ("foreseen to hold less than 80 bits, up to two other values", "clipcodec/kinds/trellis/aim.py"),
    ],
    "docs/speed.md": [
        ("efforts above 1", "clipcodec/kinds/trellis/device/kind.py:meets"),
    ],
    "docs/images-at-scale.md": [
        ("from 1,024 rows on, with `max_bytes` or `min_cosine` from 8,192", "clipcodec/devices.py"),
        ("It does its best with 131,072 rows", "clipcodec/devices.py:TOGETHER"),
        ("efforts above 1 run on the CPU", "clipcodec/kinds/trellis/device/kind.py:meets"),
        ("once they are fewer than 256", "clipcodec/kinds/trellis/device/held.py"),
        ("no numbers of 64 bits", "PyTorch's documentation of MPS"),
        ("no room for 256 rows", "clipcodec/kinds/trellis/device/memory.py"),
        ("groups of up to 32,768 embeddings", "clipcodec/bulk/pipeline.py"),
        ("only where more than 1,600 embeddings come in a second", "8,192 in 5 seconds"),
        ("found on the first {} items and changed a little with every {}", f"{STEERING}:FIRST:CHUNK"),
        ("A folder of up to 768 images", f"{STEERING}: its first items and a chunk"),
        ("| input | what is taken | id |", "tests/bulk/test_sources.py"),
        ("Image files above 256 MiB, or above Pillow's limit of 89 million pixels, are refused",
         "tests/test_images.py"),
        ("SIGTERM (143), a killed worker, a full disk (1)", "tests/whole/test_faults.py"),
        ("default {})", "clipcodec/towers.py:_IMAGES"),
        ("at most 256 MiB of archive members", "tests/bulk/test_archives.py"),
        ("two tasks of {} images per worker", "clipcodec/bulk/decoding.py:CHUNK"),
        ("at most 16 million pixels", "clipcodec/models/jpegs.py:MOST_PIXELS"),
    ],
    "docs/inside-other-formats.md": [
        ("lies in 0x40 … 0xE3; of a stream of the default profile it lies in 0x80 … 0xE3", FORMAT),
        ("fits into 48 bytes", "tests/test_codec.py"),
        ("its check value covers all 32", FORMAT),
    ],
    "docs/effort.md": [
        ("1 is the default, and the fastest", "clipcodec/target.py"),
        ("The profile has 512 directions of texts", "tests/kinds/trellis/test_noticed.py"),
    ],
    "docs/comparing.md": [
        ("drawn at random, {} of them", "clipcodec/evaluation/sample.py:ROWS"),
        ("| column | needs | what |", METRICS),
        ("the first being 0", "tests/evaluation/test_compare.py"),
    ],
    "docs/evaluation.md": [
        ("| tensor | shape | what |", "clipcodec/evaluation/sets.py"),
        ("| column | needs | what |", METRICS),
        ("| name | what |", "clipcodec/evaluation/codecs.py"),
        ("| data set | images | prompts |", "clipcodec/evaluation/image_sets.py"),
    ],
    "docs/own-profile.md": [
        ("Mean cosine at 50 bytes of embeddings that the profile was not learned from", OWN),
        ("48 bytes, learned from the same rows", OWN),
        ("at 50 bytes each besides the profile", OWN),
        ("Synthetic embeddings, 50 bytes each, the profile not counted", OWN),
        ("they have 512 dimensions, the variance of axis i falls as 1 / i, and 2,000", OWN),
        ("and 50 bytes are few for thousands of them", "the table above it"),
        ("Of more than {} embeddings", "clipcodec/bulk/sampling.py:MOST_ROWS"),
        ("(of wide ones fewer, 160 MB)", "clipcodec/bulk/sampling.py: MOST_NUMBERS, four bytes each"),
        ("Of more than {} images that many are embedded", "clipcodec/bulk/sampling.py:MOST_IMAGES"),
        ("for `--minutes` (default: 3)", "clipcodec/training/learn.py"),
    ],
    "docs/paper.md": [
        ("*size=224*: the image is scaled down", "clipcodec/evaluation/pixel_codecs.py"),
        ("codes of 400 to 2,000 bits", "docs/rendering/kept.py"),
        ("the nearest of 200 class texts", HELD_OUT),
        ("50, 75, 100, 125, 150 and 250, which is the same number of bits", SUMS),
    ],
    "docs/pointing.md": [
        ("more than 1024 pixels", "clipcodec/tasks/locating/sam.py"),
        ("wins at 50 bytes", "tests/tasks/test_locating.py"),
        ("The classes are the 200 that no profile was trained on", HELD_OUT),
    ],
    "docs/profiles.md": [
        ("| profile | id | embeddings | rates |", "formats/README.md"),
        ("text weight 0.6), twelve bands, a prediction of 512 units after each, a restoration of "
         "1,024", SHIPPED),
        ("One file of 7.7 MB", SHIPPED),
        ("counted four times, and 6,617 rows of 24 further collections", CARD),
        ("ImageNet's 800 training classes and 1,568 object names", CARD),
        ("2,000 rows that the network was not trained on", RECIPE),
        ("40,000 steps with a scalar quantiser on one GPU, 300 of the restoration", RECIPE),
        ("17,888 of ViT-L/14 (the 336-pixel model has nearly the same space), 13,000 of them frames "
         "of 129 videos", "docs/openai-vit-l-14-336.predictive.card.json"),
        ("KL over the texts of ImageNet's 1,000 classes", "clipcodec/evaluation/report.py"),
        ("Text weight 0.15, shrinkage .15, 96 units; gains and tables come from 22 groups",
         "docs/openai-vit-l-14-336.predictive.card.json, and docs/recipes.md"),
        ("512 dimensions: 200 symbols from one shared codebook", PQVAE),
        ("4, 8, 16, 32, 64 and 1,024 codewords; their ids are 1 … 6",
         "clipcodec/profile/shipped/registry.json, and docs/recipes.md"),
        ("On 10,979 embeddings never trained on: 1,400 of 200 ImageNet classes", TEST_SETS),
        ("(the paper's 800/200 protocol)", HELD_OUT),
        ("among the 200 classes; one point is 14 images", SUMS),
        ("48,399 image embeddings of 52 public collections", "docs/openai-vit-b-32.card.json"),
        ("5,597 of ImageNet's 800 training classes", "docs/openai-vit-b-32.card.json"),
        ("6,000 steps (K = 1024: 3,000)", "clipcodec/training/pqvae.py, and docs/recipes.md"),
        ("the first 64 principal axes", "clipcodec/profile/statistics.py"),
        ("and take four bytes more than those of a registered one", FORMAT),
    ],
    "docs/ray.md": [
        ("each batch comes to 50 bytes on average by itself", "tests/integrations/test_ray.py"),
    ],
    "docs/search-measured.md": [
        ("faiss's quantisers have 8 bits per sub-vector", "tests/bench/search.py"),
        ("fitted to 20,000 rows, with the number of dimensions reduced to a multiple of the bytes "
         "(500)", "tests/bench/search.py"),
    ],
    "docs/search.md": [
        ("| | work | memory |", SUMS),
        ("less than 0.001", "tests/retrieval/test_retrieval.py"),
        ("at D + 4 bytes", "tests/retrieval/test_retrieval.py"),
        ("whole numbers of 64 bits with sign, one per stream, and not −1",
         "tests/integrations/test_faiss.py"),
        ("L2 give the same order", SUMS),
    ],
    "docs/security.md": [
        ("| input | trusted? | how it is handled |", "tests/whole/test_inputs.py"),
        ("3,300 bytes for 512 dimensions and 105 kB in any case", f"{FORMAT}, {TRELLIS}"),
        ("reads no more than 1 MiB of a file", "tests/cli/test_cli.py"),
        ("n ≤ 16384", FORMAT),
        ("at most 16384", FORMAT),
        ("256 MiB, its header 1 MiB", "formats/profile-file.md"),
        ("inside a container or a column 32 MiB", "clipcodec/container/embedded.py"),
        ("carries 16 bits of CRC", FORMAT),
    ],
    "docs/storing-many.md": [
        ("10,979 embeddings never trained on", TEST_SETS),
        ("The average is within 1 % of what was asked", "tests/test_mean.py"),
        ("or on {} that are chosen by a hash", f"{MEAN}:SAMPLE"),
        ("found on the first {} items and then changed a little with every {}",
         f"{STEERING}:FIRST:CHUNK"),
        ("A weight above 1 makes each bit dearer", "tests/test_mean.py"),
        ("four to ten encodings of 512 embeddings", MEAN),
    ],
    "docs/tables.md": [
        ("learns from {} of its rows at most", "clipcodec/bulk/sampling.py:MOST_ROWS"),
        ("({} images, with", "clipcodec/bulk/sampling.py:MOST_IMAGES"),
        ("(RFC 1951), at most 2<sup>25</sup> bytes when inflated; then in base64 (RFC 4648, section 4",
         "clipcodec/container/embedded.py, clipcodec/integrations/carried.py"),
        ("a profile takes 1.8 times as much there as in a container",
         "clipcodec/integrations/carried.py: 16 / 9"),
        ("32, 64 or integers; also with lists or dimensions of size 1", "tests/integrations/test_arrow.py"),
        ("have 50 bytes on average", "tests/integrations/test_parquet.py"),
        ("Row groups have {} rows", "clipcodec/integrations/parquet.py:_GROUP_ROWS"),
        ("or 64 MiB at most", "clipcodec/integrations/parquet.py"),
    ],
    "docs/testing.md": [
        ("| question | tool | in CI |", "noxfile.py"),
        ("the upper 95 % confidence limit (Poisson)", "tests/bench/corruption.py"),
        ("about as many as 16 bits let pass", SUMS),
        ("The check value lets one in 65,536 streams with random damage pass", SUMS),
        ("the CRC detects every change of up to 16 of them in a row", "tests/test_bitstream.py"),
        ("all damage within 16 adjacent bits, and up to three flipped bits", "tests/test_bitstream.py"),
    ],
    "docs/training.md": [
        ("At least 100 distinct rows", "tests/training/test_train.py"),
        ("| rows | what is learned |", "clipcodec/training/recipe.py"),
        ("Networks train as long as `--minutes` says, 3 by default", "clipcodec/training/recipe.py"),
        ("the cosine at 50 bytes is shown, measured about twice a minute on 200 rows held out",
         "clipcodec/training/estimate.py"),
        ("| option | meaning |", "clipcodec/cli/train.py"),
        ("a tenth, at most 2,000, of fewer than 1,000 rows a fifth; for `pqvae` 2 %",
         "clipcodec/training/division.py"),
    ],
    "docs/recipes.md": [
        ("Steps of 256 rows for as long as `--minutes` says", "clipcodec/training/recipe.py"),
        ("rates up to 1.8 bits per dimension", "clipcodec/training/trainer.py"),
        ("at most 300 steps: the real encoder runs over 16,384 rows", "clipcodec/training/trainer.py"),
        ("has 512 units and a restoration of 1,024", SHIPPED),
        ("are 2,000 of these rows that no phase has seen, `text-imagenet-800` holds the texts of "
         "ImageNet's 800 training classes and `text-vocabulary` 1,568 object names", CARD),
        ("22 of 159 groups of rows", "docs/openai-vit-l-14-336.predictive.card.json"),
        ("batches of 1,024, through a straight-through estimator", "clipcodec/training/pqvae.py"),
        ("**A high learning rate**, 5e-3", "clipcodec/training/pqvae.py"),
        ("The 16 channels of a sub-vector span two directions (three from K = 64 on)",
         "clipcodec/training/pqvae.py"),
        ("used less than 3 % as often as average", "clipcodec/training/pqvae.py"),
        ("likewise with 8 and 32 codewords; with 16 and 64, `--learning-rate 0.0025`; with 1,024,",
         "the commands that were run"),
    ],
    "docs/which-embeddings.md": [
        ("| from | model | profile |", "the packages' and models' own names; LAION's by its pages"),
        ("The cosine is close to 1 if the model is the same", SUMS),
        ("For ViT-B/32 it has 768 numbers", "tests/models/test_other_packages.py"),
        ("| rows | it says | default profile | `any/rotation` |", "tests/profile/test_fit.py"),
        ("on 200 real rows each", "tests/profile/test_fit.py"),
    ],
    "docs/words.md": [
        ("(the 80 of OpenAI, as open_clip has them), `\"simple\"` (7 of these)",
         "open_clip's lists; tests/models/test_text.py"),
        ("77 for OpenAI's models", "tests/models/test_text.py"),
        ("100 for OpenAI's", "tests/models/test_text.py"),
        ("it would be 100 % of every picture", "tests/tasks/test_naming.py"),
    ],
})  # fmt: skip
