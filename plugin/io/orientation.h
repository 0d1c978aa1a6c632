/* How a photo is to be turned: cameras store what their sensor saw and write the way up into the EXIF data. */
#ifndef CP_IO_ORIENTATION_H
#define CP_IO_ORIENTATION_H

#include "io/image.h"

/* The orientation in a JPEG's EXIF data: 1 as stored, 2 mirrored, 3 by 180 degrees, 4 upside down and mirrored, 5 to 8 with
 * rows and columns exchanged. 1 where there is none, and of any other file. */
int cp_exif_orientation(const unsigned char *data, size_t bytes);

/* Turns the pixels as orientation 1 to 8 says; sides change places from 5 on. CP_ERESOURCE: the picture is as before. */
cp_status cp_picture_turn(cp_picture *picture, int orientation);

#endif
