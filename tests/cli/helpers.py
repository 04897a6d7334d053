"""What several tests of the command need."""


def raiser(error):
    def raise_it(*arguments):
        raise error

    return raise_it
