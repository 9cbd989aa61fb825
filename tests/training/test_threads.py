from contextlib import ExitStack

from threadpoolctl import threadpool_info, threadpool_limits

from networksecurity.training.threads import limited_threads


def threads_of_blas():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_blas_has_one_thread_until_the_last_that_asked_for_it_is_done():
    with threadpool_limits(2, user_api="blas"):
        first, second = ExitStack(), ExitStack()
        first.enter_context(limited_threads())
        second.enter_context(limited_threads(2))
        first.close()
        assert threads_of_blas() == {1}
        second.close()
        assert threads_of_blas() == {2}
