/* Any bytes as a list of pictures: lines without blanks at their ends, or a refusal. */
#include "fuzz_file.h"

#include "io/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_file file = fuzz_file_of(data, bytes);
    cp_lines lines;
    size_t at = 0, n = 0;
    cp_line line;
    cp_status status = cp_lines_read(file.path, "list", 1 << 20, 0, &lines);
    require_reason(status);
    for (size_t i = 0; !status && i < lines.n; i++)
        require(lines.line[i][0] && !strchr(lines.line[i], '\n') && !strchr(" \t\r", lines.line[i][0]), "a line");
    if (!status) {
        require(!cp_text_begin("list", "fuzz", data, bytes, &at), "read and refused");
        while (cp_line_next(data, bytes, &at, &line)) n += line.length > 0;
        require(n == lines.n, "another number of lines");
    }
    cp_lines_free(&lines);
    close(file.fd);
    return 0;
}
