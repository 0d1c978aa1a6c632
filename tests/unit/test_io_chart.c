/* Charts: planted curves and cells are found where, and in the colour, that they must have. */
#include <math.h>

#include "io/chart.h"
#include "io/draw.h"
#include "io/error.h"
#include "io_temp.h"

static const unsigned char *at(const cp_picture *p, int x, int y)
{
    return p->rgb + 3 * ((size_t)y * (size_t)p->w + (size_t)x);
}

static bool is_colour(const cp_picture *p, int x, int y, cp_colour c)
{
    const unsigned char *v = at(p, x, y);
    return v[0] == c.r && v[1] == c.g && v[2] == c.b;
}

/* Rows of a colour in one column of pixels: their mean, or -1. */
static double mean_row(const cp_picture *p, int x, int y0, int y1, cp_colour c)
{
    double sum = 0;
    int n = 0;
    for (int y = y0; y < y1; y++)
        if (is_colour(p, x, y, c)) {
            sum += y;
            n++;
        }
    return n ? sum / n : -1;
}

static void curves(void **state)
{
    (void)state;
    double low[5] = {0.25, 0.25, 0.25, 0.25, 0.25}, high[5] = {0.75, 0.75, NAN, 0.75, 0.75};
    cp_series series[2] = {{NULL, low, NULL}, {NULL, high, NULL}};
    cp_chart chart = {.n_points = 5, .n_series = 2, .series = series, .y_min = 0, .y_max = 1, .w = 600, .h = 400};
    cp_picture p;
    assert_ok(cp_chart_draw(&chart, &p));
    assert_true(p.w == 600 && p.h == 400);
    /* The plot: from the first to the last column that the low curve has. */
    int left = 600, right = -1;
    for (int x = 0; x < 600; x++)
        if (mean_row(&p, x, 0, 400, cp_colour_series(0)) >= 0) {
            if (x < left) left = x;
            right = x;
        }
    assert_true(left < 100 && right > 550);
    int quarter = left + (right - left) / 8, middle = (left + right) / 2;
    double y_low = mean_row(&p, quarter, 0, 400, cp_colour_series(0));
    double y_high = mean_row(&p, quarter, 0, 400, cp_colour_series(1));
    assert_true(y_low > y_high + 100); /* larger values are higher up */
    /* 0.25 and 0.75 of the way between the frame's lower and upper edge, 18 pixels from the top. */
    double height = 2 * (y_low - y_high);
    assert_true(fabs(y_high - height / 4 - 18) < 2);
    assert_true(mean_row(&p, middle, 0, 400, cp_colour_series(0)) > 0);
    assert_true(mean_row(&p, middle, 0, 400, cp_colour_series(1)) < 0); /* the NaN is a gap */
    cp_picture_free(&p);
}

static void positions_along_a_logarithmic_axis(void **state)
{
    (void)state;
    double x[3] = {1, 10, 1000}, y[3] = {0, 1, 0};
    cp_series series = {NULL, y, NULL};
    cp_chart chart = {.n_points = 3, .n_series = 1, .series = &series, .x = x, .log_x = true};
    cp_picture p;
    assert_ok(cp_chart_draw(&chart, &p));
    int left = p.w, right = -1, peak = -1, top = p.h;
    for (int i = 0; i < p.w; i++)
        for (int j = 0; j < p.h; j++)
            if (is_colour(&p, i, j, cp_colour_series(0))) {
                if (i < left) left = i;
                if (i > right) right = i;
                if (j < top) top = j, peak = i;
            }
    assert_true(fabs((peak - left) / (double)(right - left) - 1 / 3.) < 0.02); /* log 10 / log 1000 */
    cp_picture_free(&p);
}

static void odd_data(void **state)
{
    (void)state;
    double nothing[2] = {NAN, INFINITY}, flat[2] = {3, 3}, huge[2] = {-1e300, 1e300};
    const char *names[2] = {"a layer", "one with a very long name indeed, too long to be written in full there"};
    double *all[3] = {nothing, flat, huge};
    for (int i = 0; i < 3; i++) {
        cp_series series = {"name", all[i], flat};
        cp_chart chart = {.n_points = 2, .n_series = 1, .series = &series, .x_names = names};
        chart.title = chart.x_label = chart.y_label = "t";
        cp_picture p;
        assert_ok(cp_chart_draw(&chart, &p));
        cp_picture_free(&p);
        chart.n_points = 1;
        chart.x_names = NULL;
        assert_ok(cp_chart_draw(&chart, &p));
        cp_picture_free(&p);
    }
}

static void matrix_cells(void **state)
{
    (void)state;
    double values[6] = {0, 0, 0, 0, 0, 1}; /* 2 rows, 3 columns: the last cell of the last row */
    const char *rows[2] = {"a", "b"}, *columns[3] = {"p", "q", "r"};
    cp_matrix m = {.rows = 2, .columns = 3, .values = values, .row_names = rows, .column_names = columns, .hi = 1};
    cp_colour dark = cp_colour_unsigned(0.1), pale = cp_colour_unsigned(1);
    int wide[6][4];
    for (int k = 0; k < 6; k++) { /* where the dark cell is, when value k is the large one */
        cp_picture p;
        for (int i = 0; i < 6; i++) values[i] = i == k;
        assert_ok(cp_matrix_draw(&m, &p));
        int n = 0, n_pale = 0;
        wide[k][0] = p.w, wide[k][1] = p.h, wide[k][2] = wide[k][3] = -1;
        for (int y = 0; y < p.h; y++)
            for (int x = 0; x < p.w; x++) {
                n_pale += is_colour(&p, x, y, pale);
                if (!is_colour(&p, x, y, dark)) continue;
                n++;
                if (x < wide[k][0]) wide[k][0] = x;
                if (y < wide[k][1]) wide[k][1] = y;
                if (x > wide[k][2]) wide[k][2] = x;
                if (y > wide[k][3]) wide[k][3] = y;
            }
        assert_true(n > 1000 && n_pale > 4 * n);
        cp_picture_free(&p);
    }
    for (int k = 0; k < 6; k++) { /* row by row, left to right, none over another */
        if (k % 3) assert_true(wide[k][0] > wide[k - 1][2] && wide[k][1] == wide[k - 1][1]);
        if (k >= 3) assert_true(wide[k][1] > wide[k - 3][3] && wide[k][0] == wide[k - 3][0]);
    }
}

static void refused(void **state)
{
    (void)state;
    double y[2] = {1, 2}, x[2] = {0, 1};
    const char *names[1] = {"a"};
    cp_series series = {NULL, y, NULL};
    cp_picture p;
    cp_chart c = {.n_points = 2, .n_series = 1, .series = &series};
    c.n_points = 0;
    assert_refused(cp_chart_draw(&c, &p), CP_EINPUT, "1 series of 0 points");
    c.n_points = 2, c.w = 10;
    assert_refused(cp_chart_draw(&c, &p), CP_EINPUT, "10 x 0 pixels");
    c.w = 0, c.x = x, c.log_x = true;
    assert_refused(cp_chart_draw(&c, &p), CP_EINPUT, "x of point 0 is 0, a positive number is needed");
    cp_matrix m = {.rows = 1, .columns = 1, .values = y, .row_names = names, .column_names = names};
    assert_refused(cp_matrix_draw(&m, &p), CP_EINPUT, "colours from 0 to 0");
    m.hi = 1, m.rows = 65;
    assert_refused(cp_matrix_draw(&m, &p), CP_EINPUT, "65 x 1 cells");
    m.rows = 1, m.decimals = 9;
    assert_refused(cp_matrix_draw(&m, &p), CP_EINPUT, "9 decimals");
    assert_null(p.rgb);
}

/* Colours come again after eight series, and then with gaps: by the pieces of a straight line. */
static void later_series_are_dashed(void **state)
{
    (void)state;
    double y[26][2];
    cp_series series[26];
    int pieces[26];
    for (int s = 0; s < 26; s++) { /* alone, where others would be in the way */
        cp_picture p;
        for (int k = 0; k < 26; k++) {
            y[k][0] = y[k][1] = k == s ? .5 : NAN;
            series[k] = (cp_series){NULL, y[k], NULL};
        }
        cp_chart chart = {.n_points = 2, .n_series = 26, .series = series, .y_min = 0, .y_max = 1};
        assert_ok(cp_chart_draw(&chart, &p));
        pieces[s] = 0;
        for (int row = 0; row < p.h; row++) {
            int n = 0;
            for (int x = 1; x < p.w; x++)
                n += is_colour(&p, x, row, cp_colour_series((size_t)s)) && !is_colour(&p, x - 1, row, cp_colour_series((size_t)s));
            if (n > pieces[s]) pieces[s] = n;
        }
        cp_picture_free(&p);
    }
    for (int s = 0; s < 26; s++)
        for (int k = s + 8; k < 26; k += 8)
            assert_true(abs(pieces[s] - pieces[k]) > 8);
    for (int s = 0; s < 8; s++)
        assert_true(pieces[s] <= 2); /* one, with the discs of the points at its ends */
}

/* Words stand at their own axis: the picture changes there, and nowhere else, when one of them does. */
static void words_at_their_axes(void **state)
{
    (void)state;
    double y[2] = {0, 1}, x[2] = {0, 1};
    cp_picture plain, other;
    for (int word = 0; word < 4; word++) {
        cp_series series = {"first", y, NULL};
        cp_chart chart = {.title = "title", .x_label = "across", .y_label = "upwards", .n_points = 2, .n_series = 1, .x = x,
                          .series = &series, .w = 960, .h = 540};
        assert_ok(cp_chart_draw(&chart, &plain));
        if (word == 0) chart.title = "tilte";
        if (word == 1) chart.x_label = "acorss";
        if (word == 2) chart.y_label = "upwrads";
        if (word == 3) series.name = "frist";
        assert_ok(cp_chart_draw(&chart, &other));
        int changed = 0;
        for (int row = 0; row < 540; row++)
            for (int column = 0; column < 960; column++) {
                if (!memcmp(at(&plain, column, row), at(&other, column, row), 3)) continue;
                bool right = word == 0 ? row < 45 : word == 1 ? row > 500 : word == 2 ? column < 40 : column > 800 && row < 100;
                assert_true(right);
                changed++;
            }
        assert_true(changed > 5);
        cp_picture_free(&plain);
        cp_picture_free(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_series_are_dashed),
        cmocka_unit_test(words_at_their_axes),
        cmocka_unit_test(curves),   cmocka_unit_test(positions_along_a_logarithmic_axis),
        cmocka_unit_test(odd_data), cmocka_unit_test(matrix_cells),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
