/* linalg: what is a function of whole matrices and not a formula of their elements. In double
 * precision, in a fixed order, so that equal input gives equal bits; single-threaded. The double
 * forms are what the compiler's interpreter runs, the calls are what compiled programs run. */
#ifndef HONE_LINALG_H
#define HONE_LINALG_H

#include <stddef.h>
#include <stdint.h>

/* a: n x n, row-major, replaced by the result; work: hone_matrix_work(n) doubles. Anything not finite
 * in a makes the result NaN throughout.
 *   inverse_root  a^(-1/k) of the symmetric part of a, whose eigenvalues are raised to at least
 *                 FLT_EPSILON times the largest: what lies below is rounding of float32 sums
 *   eigh          columns: the unit eigenvectors of the symmetric part of a, eigenvalues descending, the
 *                 first element of largest magnitude of each positive
 *   qr            Q of a = Q R, the diagonal of R not negative */
typedef void HoneMatrixFn(int64_t n, double k, double *a, double *work);
HoneMatrixFn hone_matrix_inverse_root, hone_matrix_eigh, hone_matrix_qr;
size_t hone_matrix_work(int64_t n);

/* As kernels call them. buffers: a, k where there is one, the result; all float32, strides in
 * elements; scratch: hone_call_scratch(n) bytes. */
typedef void HoneMatrixCall(void *const *buffers, void *scratch, int64_t n, int64_t a_row,
                            int64_t a_column, int64_t to_row, int64_t to_column);
HoneMatrixCall hone_call_inverse_root, hone_call_eigh, hone_call_qr;
uint64_t hone_call_scratch(int64_t n);

#endif
