/*
 * The C side of the JPEG codec: libjpeg-turbo reports errors by longjmp, which must never pass Rust's frames. Every
 * function here sets the place to jump back to before it calls the library, and returns a code instead. The callback
 * into Rust returns before anything jumps.
 */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum { RZ_OK = 0, RZ_ERROR = -1, RZ_STOPPED = -2, RZ_MEMORY = -3, RZ_SCANS = -4, RZ_UNSUPPORTED = -5 };

/* What a file of this many scans would be for is anybody's guess; each scan costs a pass over the whole image. */
enum { RZ_SCANS_MAX = 150 };

typedef int (*rz_check)(void *context);

struct rz_errors {
  struct jpeg_error_mgr base;
  jmp_buf back;
  int code;
  int damaged;
  int cut; /* The end was missed; whether anything was missed with it is told at the end. */
  char message[JMSG_LENGTH_MAX];
};

struct rz_progress {
  struct jpeg_progress_mgr base;
  rz_check check;
  void *context;
};

static void rz_jump(struct rz_errors *errors, int code) {
  errors->code = code;
  longjmp(errors->back, 1);
}

/* The file is of a kind that can't be read; `frame` is the number of its SOF marker. */
static void rz_refuse_frame(struct rz_errors *errors, const char *what, int frame) {
  snprintf(errors->message, sizeof errors->message, "%s (frame type SOF%d)", what, frame);
  rz_jump(errors, RZ_UNSUPPORTED);
}

static void rz_error_exit(j_common_ptr info) {
  struct rz_errors *errors = (struct rz_errors *)info->err;
  if (errors->base.msg_code == JERR_SOF_UNSUPPORTED)
    rz_refuse_frame(errors, "a rare way of coding", errors->base.msg_parm.i[0] - 0xC0);
  errors->base.format_message(info, errors->message);
  rz_jump(errors, errors->base.msg_code == JERR_OUT_OF_MEMORY ? RZ_MEMORY : RZ_ERROR);
}

/* Warnings that mean that pixels are missing or made up; what is merely untidy passes. */
static int rz_is_damage(int code) {
  switch (code) {
  case JWRN_HIT_MARKER:
  case JWRN_HUFF_BAD_CODE:
  case JWRN_ARITH_BAD_CODE:
  case JWRN_BOGUS_PROGRESSION:
  case JWRN_MUST_RESYNC:
    return 1;
  default:
    return 0;
  }
}

static void rz_emit_message(j_common_ptr info, int level) {
  struct rz_errors *errors = (struct rz_errors *)info->err;
  if (level >= 0)
    return;
  errors->base.num_warnings++;
  if (errors->base.msg_code == JWRN_JPEG_EOF)
    errors->cut = 1;
  if (!errors->damaged && rz_is_damage(errors->base.msg_code)) {
    errors->damaged = 1;
    errors->base.format_message(info, errors->message);
  }
}

static void rz_output_message(j_common_ptr info) { (void)info; }

static void rz_errors_init(struct rz_errors *errors) {
  jpeg_std_error(&errors->base);
  errors->base.error_exit = rz_error_exit;
  errors->base.emit_message = rz_emit_message;
  errors->base.output_message = rz_output_message;
}

/* ---- decoding ---- */

struct rz_decoder {
  struct jpeg_decompress_struct jpeg;
  struct rz_errors errors;
  struct rz_progress progress;
  const uint8_t *data;
  size_t len;
};

struct rz_header {
  uint32_t width;
  uint32_t height;
  uint32_t components;
  uint32_t color_space; /* 1 grey, 2 RGB, 3 YCbCr, 4 CMYK, 5 YCCK, 0 others */
  uint32_t progressive;
  uint32_t adobe;
  uint32_t precision;
  uint32_t h[4];
  uint32_t v[4];
};

struct rz_layout {
  uint32_t width; /* of the output, in pixels */
  uint32_t height;
  uint32_t rows;       /* luma rows a call gives, when planes are read */
  uint32_t strides[4]; /* bytes of a row as it is written, padding included */
  uint32_t widths[4];
  uint32_t heights[4];
  uint32_t plane_rows[4]; /* rows of the plane a call gives */
  uint32_t dct[4];        /* eighths of the full size */
  uint32_t h[4];
  uint32_t v[4];
};

static void rz_progress_monitor(j_common_ptr info) {
  struct rz_progress *progress = (struct rz_progress *)info->progress;
  struct rz_errors *errors = (struct rz_errors *)info->err;
  if (info->is_decompressor && ((j_decompress_ptr)info)->input_scan_number > RZ_SCANS_MAX) {
    snprintf(errors->message, sizeof errors->message, "there are more than %d scans", RZ_SCANS_MAX);
    rz_jump(errors, RZ_SCANS);
  }
  if (progress->check && progress->check(progress->context))
    rz_jump(errors, RZ_STOPPED);
}

void rz_decoder_close(struct rz_decoder *decoder) {
  if (!decoder)
    return;
  jpeg_destroy_decompress(&decoder->jpeg);
  free(decoder);
}

const char *rz_decoder_message(const struct rz_decoder *decoder) { return decoder->errors.message; }

/*
 * Whether scans may be missing of a file without an end. Of a single scan in Huffman codes, a bit that is missing is
 * warned of when it is needed; a progressive picture knows how many bits it has of each coefficient.
 */
static int rz_lacks_scans(j_decompress_ptr jpeg) {
  if (jpeg->progressive_mode) {
    for (int i = 0; jpeg->coef_bits && i < jpeg->num_components; i++)
      for (int k = 0; k < DCTSIZE2; k++)
        if (jpeg->coef_bits[i][k] != 0)
          return 1;
    return !jpeg->coef_bits;
  }
  return jpeg->arith_code || jpeg_has_multiple_scans(jpeg);
}

int rz_decoder_is_damaged(struct rz_decoder *decoder) {
  struct rz_errors *errors = &decoder->errors;
  if (!errors->damaged && errors->cut && rz_lacks_scans(&decoder->jpeg)) {
    errors->damaged = 1;
    snprintf(errors->message, sizeof errors->message, "it ends too early");
  }
  return errors->damaged;
}

static int rz_decoder_create(struct rz_decoder *decoder) {
  decoder->jpeg.err = &decoder->errors.base;
  if (setjmp(decoder->errors.back))
    return decoder->errors.code;
  jpeg_create_decompress(&decoder->jpeg);
  return RZ_OK;
}

/* NULL when there is no memory. `data` must outlive the decoder. */
struct rz_decoder *rz_decoder_open(const uint8_t *data, size_t len, size_t memory_max) {
  struct rz_decoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder)
    return NULL;
  rz_errors_init(&decoder->errors);
  if (rz_decoder_create(decoder) != RZ_OK) {
    rz_decoder_close(decoder);
    return NULL;
  }
  decoder->jpeg.mem->max_memory_to_use = (long)memory_max;
  decoder->progress.base.progress_monitor = rz_progress_monitor;
  decoder->jpeg.progress = &decoder->progress.base;
  decoder->data = data;
  decoder->len = len;
  return decoder;
}

int rz_decoder_header(struct rz_decoder *decoder, struct rz_header *header) {
  j_decompress_ptr jpeg = &decoder->jpeg;
  if (setjmp(decoder->errors.back))
    return decoder->errors.code;
  jpeg_mem_src(jpeg, decoder->data, (unsigned long)decoder->len);
  jpeg_read_header(jpeg, TRUE);
  /*
   * Units of one sample instead of a block: lossless. The library would decode it, but knows no reduced size of it, no
   * planes and no conversion of colours, and passes over in silence that it was asked for them.
   */
  if (jpeg->min_DCT_scaled_size != DCTSIZE)
    rz_refuse_frame(&decoder->errors, "lossless compression", jpeg->arith_code ? 11 : 3);
  memset(header, 0, sizeof *header);
  header->width = jpeg->image_width;
  header->height = jpeg->image_height;
  header->components = (uint32_t)jpeg->num_components;
  switch (jpeg->jpeg_color_space) {
  case JCS_GRAYSCALE: header->color_space = 1; break;
  case JCS_RGB: header->color_space = 2; break;
  case JCS_YCbCr: header->color_space = 3; break;
  case JCS_CMYK: header->color_space = 4; break;
  case JCS_YCCK: header->color_space = 5; break;
  default: break;
  }
  header->progressive = jpeg->progressive_mode;
  header->adobe = jpeg->saw_Adobe_marker;
  header->precision = (uint32_t)jpeg->data_precision;
  for (int i = 0; i < jpeg->num_components && i < 4; i++) {
    header->h[i] = (uint32_t)jpeg->comp_info[i].h_samp_factor;
    header->v[i] = (uint32_t)jpeg->comp_info[i].v_samp_factor;
  }
  return RZ_OK;
}

/* Starts to decode: planes as they are in the file, or rows of pixels in `color_space` (as above; 2 for RGB). */
int rz_decoder_start(struct rz_decoder *decoder, int planes, uint32_t color_space, uint32_t denominator,
                     rz_check check, void *context, struct rz_layout *layout) {
  j_decompress_ptr jpeg = &decoder->jpeg;
  decoder->progress.check = check;
  decoder->progress.context = context;
  if (setjmp(decoder->errors.back))
    return decoder->errors.code;
  jpeg->scale_num = 1;
  jpeg->scale_denom = denominator;
  jpeg->dct_method = JDCT_ISLOW;
  if (planes) {
    jpeg->raw_data_out = TRUE;
  } else {
    switch (color_space) {
    case 1: jpeg->out_color_space = JCS_GRAYSCALE; break;
    case 2: jpeg->out_color_space = JCS_RGB; break;
    default: jpeg->out_color_space = JCS_CMYK; break;
    }
  }
  jpeg_start_decompress(jpeg);
  memset(layout, 0, sizeof *layout);
  layout->width = jpeg->output_width;
  layout->height = jpeg->output_height;
  layout->rows = (uint32_t)(jpeg->max_v_samp_factor * jpeg->min_DCT_scaled_size);
  for (int i = 0; i < jpeg->num_components && i < 4; i++) {
    jpeg_component_info *component = &jpeg->comp_info[i];
    layout->dct[i] = (uint32_t)component->DCT_scaled_size;
    layout->h[i] = (uint32_t)component->h_samp_factor;
    layout->v[i] = (uint32_t)component->v_samp_factor;
    layout->strides[i] = component->width_in_blocks * (uint32_t)component->DCT_scaled_size;
    layout->widths[i] = component->downsampled_width;
    layout->heights[i] = component->downsampled_height;
    layout->plane_rows[i] = (uint32_t)(component->v_samp_factor * component->DCT_scaled_size);
  }
  return RZ_OK;
}

/*
 * Reads as many rows of every plane as one row of MCUs has. `planes[i]` has room for plane_rows[i] rows of strides[i]
 * bytes.
 */
int rz_decoder_read_planes(struct rz_decoder *decoder, uint8_t *const planes[4]) {
  j_decompress_ptr jpeg = &decoder->jpeg;
  JSAMPROW rows[4][4 * DCTSIZE];
  JSAMPARRAY arrays[4];
  if (setjmp(decoder->errors.back))
    return decoder->errors.code;
  for (int i = 0; i < jpeg->num_components && i < 4; i++) {
    jpeg_component_info *component = &jpeg->comp_info[i];
    int count = component->v_samp_factor * component->DCT_scaled_size;
    size_t stride = (size_t)component->width_in_blocks * (size_t)component->DCT_scaled_size;
    for (int row = 0; row < count && row < 4 * DCTSIZE; row++)
      rows[i][row] = planes[i] + (size_t)row * stride;
    arrays[i] = rows[i];
  }
  JDIMENSION lines = (JDIMENSION)(jpeg->max_v_samp_factor * jpeg->min_DCT_scaled_size);
  return jpeg_read_raw_data(jpeg, arrays, lines) == 0 ? RZ_ERROR : RZ_OK;
}

/* Reads up to `count` rows of pixels, `stride` bytes each; returns how many, or a code. */
int rz_decoder_read_rows(struct rz_decoder *decoder, uint8_t *pixels, size_t stride, uint32_t count) {
  j_decompress_ptr jpeg = &decoder->jpeg;
  volatile uint32_t done = 0;
  if (setjmp(decoder->errors.back))
    return decoder->errors.code;
  while (done < count && jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW row = pixels + (size_t)done * stride;
    if (jpeg_read_scanlines(jpeg, &row, 1) != 1)
      return RZ_ERROR;
    done++;
  }
  return (int)done;
}

/* ---- encoding ---- */

struct rz_encoder {
  struct jpeg_compress_struct jpeg;
  struct rz_errors errors;
  struct rz_progress progress;
  unsigned char *out;
  unsigned long out_len;
};

/* color_space: 1 grey, 2 RGB rows, 3 YCbCr planes. */
struct rz_encoding {
  uint32_t width;
  uint32_t height;
  uint32_t color_space;
  uint32_t subsample; /* 4:2:0 */
  uint32_t quality;
  uint32_t progressive;
  uint32_t density_unit; /* as JFIF numbers them */
  uint32_t density_x;
  uint32_t density_y;
};

void rz_encoder_close(struct rz_encoder *encoder) {
  if (!encoder)
    return;
  jpeg_destroy_compress(&encoder->jpeg);
  free(encoder->out);
  free(encoder);
}

const char *rz_encoder_message(const struct rz_encoder *encoder) { return encoder->errors.message; }

static int rz_encoder_start(struct rz_encoder *encoder, const struct rz_encoding *encoding, rz_check check,
                            void *context) {
  j_compress_ptr jpeg = &encoder->jpeg;
  jpeg->err = &encoder->errors.base;
  if (setjmp(encoder->errors.back))
    return encoder->errors.code;
  jpeg_create_compress(jpeg);
  encoder->progress.base.progress_monitor = rz_progress_monitor;
  encoder->progress.check = check;
  encoder->progress.context = context;
  jpeg->progress = &encoder->progress.base;
  jpeg_mem_dest(jpeg, &encoder->out, &encoder->out_len);
  jpeg->image_width = encoding->width;
  jpeg->image_height = encoding->height;
  switch (encoding->color_space) {
  case 1: jpeg->input_components = 1; jpeg->in_color_space = JCS_GRAYSCALE; break;
  case 2: jpeg->input_components = 3; jpeg->in_color_space = JCS_RGB; break;
  default: jpeg->input_components = 3; jpeg->in_color_space = JCS_YCbCr; break;
  }
  jpeg_set_defaults(jpeg);
  jpeg_set_colorspace(jpeg, encoding->color_space == 1 ? JCS_GRAYSCALE : JCS_YCbCr);
  jpeg_set_quality(jpeg, (int)encoding->quality, TRUE);
  jpeg->dct_method = JDCT_ISLOW;
  jpeg->optimize_coding = TRUE;
  jpeg->density_unit = (UINT8)encoding->density_unit;
  jpeg->X_density = (UINT16)encoding->density_x;
  jpeg->Y_density = (UINT16)encoding->density_y;
  if (encoding->color_space != 1) {
    int factor = encoding->subsample ? 2 : 1;
    jpeg->comp_info[0].h_samp_factor = factor;
    jpeg->comp_info[0].v_samp_factor = factor;
  } else {
    jpeg->comp_info[0].h_samp_factor = 1;
    jpeg->comp_info[0].v_samp_factor = 1;
  }
  if (encoding->progressive)
    jpeg_simple_progression(jpeg);
  jpeg->raw_data_in = encoding->color_space == 3;
  jpeg_start_compress(jpeg, TRUE);
  return RZ_OK;
}

int rz_encoder_open(struct rz_encoder **result, const struct rz_encoding *encoding, rz_check check, void *context) {
  struct rz_encoder *encoder = calloc(1, sizeof *encoder);
  *result = encoder;
  if (!encoder)
    return RZ_MEMORY;
  rz_errors_init(&encoder->errors);
  return rz_encoder_start(encoder, encoding, check, context);
}
int rz_encoder_marker(struct rz_encoder *encoder, int marker, const uint8_t *data, uint32_t len) {
  if (setjmp(encoder->errors.back))
    return encoder->errors.code;
  jpeg_write_marker(&encoder->jpeg, marker, data, len);
  return RZ_OK;
}

int rz_encoder_icc(struct rz_encoder *encoder, const uint8_t *data, uint32_t len) {
  if (setjmp(encoder->errors.back))
    return encoder->errors.code;
  jpeg_write_icc_profile(&encoder->jpeg, data, len);
  return RZ_OK;
}

int rz_encoder_write_rows(struct rz_encoder *encoder, const uint8_t *pixels, size_t stride, uint32_t count) {
  if (setjmp(encoder->errors.back))
    return encoder->errors.code;
  for (uint32_t i = 0; i < count; i++) {
    JSAMPROW row = (JSAMPROW)(pixels + (size_t)i * stride);
    if (jpeg_write_scanlines(&encoder->jpeg, &row, 1) != 1)
      return RZ_ERROR;
  }
  return RZ_OK;
}

/*
 * Writes all planes. strides[i] is a multiple of 8 times the sampling factor, so that whole MCUs can be read; rows
 * below heights[i] are taken from the last one.
 */
int rz_encoder_write_planes(struct rz_encoder *encoder, const uint8_t *const planes[3], const uint32_t strides[3],
                            const uint32_t heights[3]) {
  j_compress_ptr jpeg = &encoder->jpeg;
  JSAMPROW rows[3][4 * DCTSIZE];
  JSAMPARRAY arrays[3] = {rows[0], rows[1], rows[2]};
  if (setjmp(encoder->errors.back))
    return encoder->errors.code;
  uint32_t lines = (uint32_t)jpeg->max_v_samp_factor * DCTSIZE;
  while (jpeg->next_scanline < jpeg->image_height) {
    for (int i = 0; i < jpeg->num_components; i++) {
      uint32_t count = (uint32_t)jpeg->comp_info[i].v_samp_factor * DCTSIZE;
      uint32_t first = jpeg->next_scanline / lines * count;
      for (uint32_t j = 0; j < count; j++) {
        uint32_t row = first + j < heights[i] ? first + j : heights[i] - 1;
        rows[i][j] = (JSAMPROW)(planes[i] + (size_t)row * strides[i]);
      }
    }
    if (jpeg_write_raw_data(jpeg, arrays, lines) == 0)
      return RZ_ERROR;
  }
  return RZ_OK;
}

/* Ends the file; `*data` stays the encoder's. */
int rz_encoder_finish(struct rz_encoder *encoder, const uint8_t **data, size_t *len) {
  if (setjmp(encoder->errors.back))
    return encoder->errors.code;
  jpeg_finish_compress(&encoder->jpeg);
  *data = encoder->out;
  *len = (size_t)encoder->out_len;
  return RZ_OK;
}
