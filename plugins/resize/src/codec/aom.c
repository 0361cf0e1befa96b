/*
 * The C side of the AVIF codec: one still picture into one AV1 bit stream, and back. libaom keeps its own jumps to
 * itself, but hands out structures whose layout is its headers' business.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <aom/aom_decoder.h>
#include <aom/aom_encoder.h>
#include <aom/aomcx.h>
#include <aom/aomdx.h>

enum { RA_OK = 0, RA_ERROR = -1, RA_MEMORY = -2, RA_LIMIT = -3 };

struct ra_picture {
  uint32_t width;
  uint32_t height;
  uint32_t bit_depth;
  uint32_t monochrome;
  uint32_t shift_x;
  uint32_t shift_y;
  uint32_t primaries;
  uint32_t transfer;
  uint32_t matrix;
  uint32_t full_range;
  const uint8_t *planes[3];
  uint32_t strides[3];
};

struct ra_encoding {
  uint32_t quantizer; /* 0 to 63 */
  uint32_t speed;     /* 0 to 9 */
  uint32_t is_alpha;
};

struct ra_out {
  uint8_t *data;
  size_t len;
};

void ra_out_free(struct ra_out *out) {
  free(out->data);
  out->data = NULL;
  out->len = 0;
}

static int ra_append(struct ra_out *out, const void *data, size_t len) {
  uint8_t *grown = realloc(out->data, out->len + len);
  if (!grown)
    return RA_MEMORY;
  memcpy(grown + out->len, data, len);
  out->data = grown;
  out->len += len;
  return RA_OK;
}

static int ra_collect(aom_codec_ctx_t *codec, struct ra_out *out, int *got) {
  aom_codec_iter_t iterator = NULL;
  const aom_codec_cx_pkt_t *packet;
  *got = 0;
  while ((packet = aom_codec_get_cx_data(codec, &iterator)) != NULL) {
    if (packet->kind != AOM_CODEC_CX_FRAME_PKT)
      continue;
    *got = 1;
    if (ra_append(out, packet->data.frame.buf, packet->data.frame.sz) != RA_OK)
      return RA_MEMORY;
  }
  return RA_OK;
}

/* Encodes 8-bit planes. `out` is the caller's to free, whatever is returned. */
int ra_encode(const struct ra_picture *picture, const struct ra_encoding *encoding, struct ra_out *out) {
  aom_codec_iface_t *interface = aom_codec_av1_cx();
  aom_codec_enc_cfg_t config;
  if (aom_codec_enc_config_default(interface, &config, AOM_USAGE_ALL_INTRA) != AOM_CODEC_OK)
    return RA_ERROR;
  int is_444 = !picture->monochrome && !picture->shift_x;
  config.g_profile = is_444 ? 1 : 0;
  config.g_w = picture->width;
  config.g_h = picture->height;
  config.g_limit = 1;
  config.g_threads = 1;
  config.g_lag_in_frames = 0;
  config.g_bit_depth = AOM_BITS_8;
  config.g_input_bit_depth = 8;
  config.monochrome = picture->monochrome;
  config.rc_end_usage = AOM_Q;
  config.rc_min_quantizer = 0;
  config.rc_max_quantizer = 63;
  aom_codec_ctx_t codec;
  aom_codec_err_t error = aom_codec_enc_init(&codec, interface, &config, 0);
  if (error != AOM_CODEC_OK)
    return error == AOM_CODEC_MEM_ERROR ? RA_MEMORY : RA_ERROR;
  int status = RA_ERROR;
  aom_image_t image;
  memset(&image, 0, sizeof image);
  if (aom_codec_control(&codec, AOME_SET_CPUUSED, (int)encoding->speed) != AOM_CODEC_OK ||
      aom_codec_control(&codec, AOME_SET_TUNING, AOM_TUNE_SSIM) != AOM_CODEC_OK ||
      aom_codec_control(&codec, AOME_SET_CQ_LEVEL, encoding->quantizer) != AOM_CODEC_OK ||
      aom_codec_control(&codec, AV1E_SET_COLOR_PRIMARIES, (int)picture->primaries) != AOM_CODEC_OK ||
      aom_codec_control(&codec, AV1E_SET_TRANSFER_CHARACTERISTICS, (int)picture->transfer) != AOM_CODEC_OK ||
      aom_codec_control(&codec, AV1E_SET_MATRIX_COEFFICIENTS, (int)picture->matrix) != AOM_CODEC_OK ||
      aom_codec_control(&codec, AV1E_SET_COLOR_RANGE, (int)picture->full_range) != AOM_CODEC_OK ||
      aom_codec_control(&codec, AV1E_SET_SKIP_POSTPROC_FILTERING, 0u) != AOM_CODEC_OK)
    goto done;
  image.fmt = is_444 ? AOM_IMG_FMT_I444 : AOM_IMG_FMT_I420;
  image.monochrome = (int)picture->monochrome;
  image.cp = (aom_color_primaries_t)picture->primaries;
  image.tc = (aom_transfer_characteristics_t)picture->transfer;
  image.mc = (aom_matrix_coefficients_t)picture->matrix;
  image.range = picture->full_range ? AOM_CR_FULL_RANGE : AOM_CR_STUDIO_RANGE;
  image.w = image.d_w = picture->width;
  image.h = image.d_h = picture->height;
  image.bit_depth = 8;
  image.bps = is_444 ? 24 : 12;
  image.x_chroma_shift = is_444 ? 0 : 1;
  image.y_chroma_shift = is_444 ? 0 : 1;
  for (int i = 0; i < 3; i++) {
    int plane = picture->monochrome ? 0 : i;
    image.planes[i] = (unsigned char *)picture->planes[plane];
    image.stride[i] = (int)picture->strides[plane];
  }
  int got = 0;
  if (aom_codec_encode(&codec, &image, 0, 1, 0) != AOM_CODEC_OK)
    goto done;
  if ((status = ra_collect(&codec, out, &got)) != RA_OK)
    goto done;
  do {
    if (aom_codec_encode(&codec, NULL, 0, 1, 0) != AOM_CODEC_OK) {
      status = RA_ERROR;
      goto done;
    }
    if ((status = ra_collect(&codec, out, &got)) != RA_OK)
      goto done;
  } while (got);
  status = out->len > 0 ? RA_OK : RA_ERROR;
done:
  aom_codec_destroy(&codec);
  return status;
}

struct ra_decoder {
  aom_codec_ctx_t codec;
};

void ra_decoder_close(struct ra_decoder *decoder) {
  if (!decoder)
    return;
  aom_codec_destroy(&decoder->codec);
  free(decoder);
}

/* What a stream says of its pictures, without decoding any. */
int ra_peek(const uint8_t *data, size_t len, uint32_t *width, uint32_t *height) {
  aom_codec_stream_info_t info;
  memset(&info, 0, sizeof info);
  if (aom_codec_peek_stream_info(aom_codec_av1_dx(), data, len, &info) != AOM_CODEC_OK || info.w == 0 || info.h == 0)
    return RA_ERROR;
  *width = info.w;
  *height = info.h;
  return RA_OK;
}

/*
 * Decodes the first picture; its planes stay the decoder's. A stream whose header says one size and whose frame another
 * is stopped by the caller's look at the picture, and by the process's limit of memory.
 */
int ra_decode(const uint8_t *data, size_t len, struct ra_decoder **result, struct ra_picture *picture) {
  struct ra_decoder *decoder = calloc(1, sizeof *decoder);
  *result = NULL;
  if (!decoder)
    return RA_MEMORY;
  aom_codec_dec_cfg_t config = {.threads = 1, .allow_lowbitdepth = 1};
  if (aom_codec_dec_init(&decoder->codec, aom_codec_av1_dx(), &config, 0) != AOM_CODEC_OK) {
    free(decoder);
    return RA_MEMORY;
  }
  aom_codec_err_t error = aom_codec_decode(&decoder->codec, data, len, NULL);
  aom_codec_iter_t iterator = NULL;
  aom_image_t *image = error == AOM_CODEC_OK ? aom_codec_get_frame(&decoder->codec, &iterator) : NULL;
  if (!image) {
    ra_decoder_close(decoder);
    return error == AOM_CODEC_MEM_ERROR ? RA_MEMORY : RA_ERROR;
  }
  memset(picture, 0, sizeof *picture);
  picture->width = image->d_w;
  picture->height = image->d_h;
  picture->bit_depth = image->bit_depth;
  picture->monochrome = (uint32_t)image->monochrome;
  picture->shift_x = image->x_chroma_shift;
  picture->shift_y = image->y_chroma_shift;
  picture->primaries = (uint32_t)image->cp;
  picture->transfer = (uint32_t)image->tc;
  picture->matrix = (uint32_t)image->mc;
  picture->full_range = image->range == AOM_CR_FULL_RANGE;
  for (int i = 0; i < 3; i++) {
    picture->planes[i] = image->planes[i];
    picture->strides[i] = (uint32_t)image->stride[i];
  }
  if (image->bit_depth > 8 && !(image->fmt & AOM_IMG_FMT_HIGHBITDEPTH)) {
    ra_decoder_close(decoder);
    return RA_ERROR;
  }
  *result = decoder;
  return RA_OK;
}
