#include "cli/walk.h"

#include "cli/list.h"
#include "cli/output_path.h"
#include "io/error.h"

#include <unistd.h>

cp_status cp_session_read_list(cp_session *s, cp_lines *lines)
{
    const uint64_t most = (uint64_t)64 << 20;
    if (s->n_images)
        return cp_fail(CP_EINPUT, "%s: images come from -list or from the command line, found \"%.200s\" too", s->command->name,
                       s->images[0]);
    cp_status status = cp_lines_read(s->options->list, "list", most, 0, lines);
    if (status)
        return status;
    s->n_images = (int)lines->n;
    s->images = lines->line;
    s->list = s->n_images != 1;
    if ((status = cp_remember_inputs(s, (const char *const *)lines->line, lines->n)))
        return status;
    return s->n_images ? CP_OK : cp_fail(CP_EINPUT, "-list: %.300s names no image", s->options->list);
}

static cp_status run_image(cp_session *s, const char *path, cp_visit visit, void *user)
{
    cp_item item;
    cp_status status = cp_item_read(s, path, &item, s->input);
    if (!status)
        status = cp_item_forward(s, &item);
    if (!status)
        status = cp_visit_whole(visit, s, &item, user);
    cp_picture_free(&item.photo);
    return status;
}

static cp_status each(cp_session *s, bool together, cp_visit visit, void *user)
{
    int seen;
    bool from_stdin = s->n_images == 0;
    if (s->n_images == 1 && s->shard.count == 1)
        return run_image(s, s->images[0], visit, user);
    if (from_stdin && isatty(STDIN_FILENO))
        cp_note(s, "one image path per line; end with Ctrl-D");
    cp_status first = cp_list_run(s, together, visit, user, &seen);
    if (first == CP_EINPUT)
        return cp_fail(first, "%s", ""); /* said already */
    if (from_stdin && !seen && !first && s->shard.count == 1)
        return cp_fail(CP_EINPUT, "%s: no image on the command line and no path on stdin", s->command->name);
    return first;
}

cp_status cp_session_each(cp_session *s, cp_visit visit, void *user) { return each(s, false, visit, user); }

cp_status cp_session_each_together(cp_session *s, cp_visit visit, void *user) { return each(s, true, visit, user); }
