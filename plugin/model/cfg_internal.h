/* The inside of cp_cfg, for the cfg_*.c files only. */
#ifndef CP_MODEL_CFG_INTERNAL_H
#define CP_MODEL_CFG_INTERNAL_H

#include "model/cfg.h"

typedef struct {
    char *key;
    char *value; /* in the same allocation as key */
    int line;    /* 0 when it was set later */
    int rest;    /* where text begins that stands behind a number read from it and is no comment; 0: there is none */
} cp_cfg_pair;

typedef struct {
    char *type; /* without brackets */
    int line;
    cp_cfg_pair *pairs;
    size_t n, capacity;
} cp_cfg_section;

struct cp_cfg {
    char *path;
    cp_cfg_section *sections;
    size_t n, capacity;
};

/* A file of key=value lines without sections (.data), as the one section "data". */
cp_status cp_cfg_read_options(const char *path, cp_cfg **cfg);

/* NULL when absent. */
cp_cfg_pair *cp_cfg_find(const cp_cfg *cfg, size_t section, const char *key);

/* Puts an empty section before section `at`, or a pair behind the others; CP_EINPUT over the limit. */
cp_status cp_cfg_add_section(cp_cfg *cfg, size_t at, const char *type, size_t length, int line);
cp_status cp_cfg_add_pair(cp_cfg *cfg, size_t section, const char *key, const char *value, int line);
void cp_cfg_clear_section(cp_cfg_section *section);

/* CP_EINPUT with "FILE: layer 3 [maxpool], line 12: " before the message; line 0: without a line. */
cp_status cp_cfg_refuse(const cp_cfg *cfg, size_t section, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The prefix alone, into `text`. */
void cp_cfg_where(const cp_cfg *cfg, size_t section, int line, char *text, size_t size);
/* Line of a key, or of its section when the key is absent. */
int cp_cfg_key_line(const cp_cfg *cfg, size_t section, const char *key);

/* True for Darknet's names of one type: "conv" and "convolutional". Without brackets. */
bool cp_cfg_is_net(const char *type);
bool cp_cfg_is_route(const char *type);
bool cp_cfg_is_shortcut(const char *type);

/* batch and subdivisions of [net]: integers of at least 1. */
cp_status cp_cfg_check_batch(const cp_cfg *cfg, int *batch, int *subdivisions);

#endif
